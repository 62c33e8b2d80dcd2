"""A `gh` that answers as GitHub's does, for one pull request whose comments lie in a file.

Run as a program. FAKE_GH names a folder: comments.json is what the server has, calls.jsonl what was asked;
FAKE_GH_REFUSES is a message that every write is refused with. `--jq` is jq's own, as in gh.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

BOT = {"login": "github-actions[bot]"}


def main():
    folder = Path(os.environ["FAKE_GH"])
    with (folder / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(sys.argv[1:]) + "\n")
    if not os.environ.get("GH_TOKEN"):
        sys.exit("gh: To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable.")
    if sys.argv[1:3] == ["run", "list"]:
        print(_through_jq(_option("--jq"), json.loads((folder / "runs.json").read_text())), end="")
    elif sys.argv[1:3] == ["run", "download"]:
        shutil.copytree(folder / f"artifact-{sys.argv[3]}" / _option("--name"), _option("--dir"))
    else:
        _api(folder / "comments.json")


def _api(stored):
    parser = argparse.ArgumentParser(prog="gh")
    parser.add_argument("command", choices=["api"])
    parser.add_argument("path")
    parser.add_argument("--paginate", action="store_true")
    parser.add_argument("--silent", action="store_true")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--jq")
    parser.add_argument("-F", dest="field")
    asked = parser.parse_args()
    comments = json.loads(stored.read_text()) if stored.exists() else []
    path, _, query = asked.path.partition("?")
    if asked.method == "GET":
        assert path == "repos/someone/models/issues/7/comments"
        size = int(dict(part.split("=") for part in query.split("&"))["per_page"])
        pages = [comments[at : at + size] for at in range(0, max(len(comments), 1), size)]
        for page in pages if asked.paginate else pages[:1]:
            print(_through_jq(asked.jq, page), end="")
        return
    if refused := os.environ.get("FAKE_GH_REFUSES"):
        sys.exit(f"gh: {refused}")
    name, _, file = asked.field.partition("=@")
    assert name == "body"
    body = Path(file).read_text()
    assert len(body) <= 65_536
    if asked.method == "POST":
        assert path == "repos/someone/models/issues/7/comments"
        comments.append({"id": 1000 + len(comments), "user": BOT, "body": body})
    else:
        assert asked.method == "PATCH"
        (mine,) = [one for one in comments if path == f"repos/someone/models/issues/comments/{one['id']}"]
        mine["body"] = body
    stored.write_text(json.dumps(comments))


def _option(name):
    return sys.argv[sys.argv.index(name) + 1]


def _through_jq(expression, value):
    return subprocess.run(
        ["jq", "--raw-output", expression], input=json.dumps(value), capture_output=True, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main()
