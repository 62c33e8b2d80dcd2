"""What a runner of GitHub does with the steps of a workflow or an action, as far as ours use it.

Expressions are resolved, conditions honored, and each `run` is executed by bash as GitHub does it; a `uses` of another
action is recorded. https://docs.github.com/actions/reference/workflows-and-actions
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
TOKEN = re.compile(r"\s*(?:(\|\||&&|==|!=|!|\(|\))|'((?:[^']|'')*)'|([A-Za-z_][\w.-]*))")


@dataclass
class Step:
    """What became of one step; it was skipped where both `done` and `uses` are None."""

    name: str
    done: subprocess.CompletedProcess | None = None
    uses: str | None = None
    given: dict = field(default_factory=dict)


@dataclass
class Job:
    """The steps of a job in the order they came, its summary, and whether it failed."""

    steps: list[Step] = field(default_factory=list)
    outputs: dict = field(default_factory=dict)
    failed: bool = False
    summary: str = ""

    @property
    def log(self):
        return "".join(step.done.stdout + step.done.stderr for step in self.steps if step.done)

    def step(self, name):
        (found,) = [step for step in self.steps if step.name == name]
        return found


def evaluate(expression, contexts, failed=False):
    """Return the value of *expression*: literals, `a.b`, status functions, == != ! && || and brackets."""
    tokens, at = [], 0
    while expression[at:].strip():
        found = TOKEN.match(expression, at)
        assert found, f"{expression!r} has something at {at} that this runner does not know"
        tokens.append(found.groups())
        at = found.end()
    functions = {"always": True, "success": not failed, "failure": failed}

    def take(*signs):
        return tokens.pop(0)[0] if tokens and tokens[0][0] in signs else None

    def either():
        left = both()
        while take("||"):
            right = both()
            left = left or right
        return left

    def both():
        left = compared()
        while take("&&"):
            right = compared()
            left = left and right
        return left

    def compared():
        left = single()
        while sign := take("==", "!="):
            # Without regard to case, and a missing value equals the empty text.
            same = str(left).lower() == str(single()).lower()
            left = same if sign == "==" else not same
        return left

    def single():
        if take("!"):
            return not single()
        if take("("):
            value = either()
            assert take(")")
            return value
        _, text, path = tokens.pop(0)
        if text is not None:
            return text.replace("''", "'")
        if take("("):
            assert take(")")
            return functions[path]
        value = contexts
        for part in path.split("."):
            value = value.get(part, "") if isinstance(value, dict) else ""
        return value

    value = either()
    assert not tokens, f"{expression!r} does not end where it should"
    return value


def resolve(text, contexts):
    """Return *text* with every `${{ … }}` replaced by its value."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: _as_text(evaluate(found[1], contexts)), str(text))


def _as_text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass
class Runner:
    """Runs jobs in *workspace*, with *environment* as the machine's; *actions* are folders of composite actions."""

    workspace: Path
    environment: dict[str, str]
    github: dict
    actions: dict[str, Path] = field(default_factory=dict)

    def run_job(self, workflow):
        """Run the only job of *workflow*."""
        (job,) = yaml.safe_load(Path(workflow).read_text(encoding="utf-8"))["jobs"].values()
        done = Job()
        self._run_steps(job["steps"], {"github": self.github, "inputs": {}}, done, {})
        return done

    def run_action(self, folder, **given):
        """Run the composite action in *folder* as the only step of a job; inputs have `_` for `-`."""
        done = Job()
        self._run_action(folder, {name.replace("_", "-"): value for name, value in given.items()}, done)
        return done

    def _run_action(self, folder, given, job):
        action = yaml.safe_load((folder / "action.yml").read_text(encoding="utf-8"))
        assert action["runs"]["using"] == "composite"
        assert set(given) <= set(action["inputs"]), "an input that the action does not have"
        inputs = {name: given.get(name, one["default"]) for name, one in action["inputs"].items()}
        contexts = {"github": self.github, "inputs": inputs}
        self._run_steps(action["runs"]["steps"], contexts, job, {"GITHUB_ACTION_PATH": str(folder)})
        return {name: resolve(output["value"], contexts) for name, output in action.get("outputs", {}).items()}

    def _run_steps(self, steps, contexts, job, environment):
        contexts["steps"] = {}
        failed = False
        for step in steps:
            condition = re.sub(r"^\$\{\{(.*)\}\}$", r"\1", str(step.get("if", "success()")))
            # A condition without a status function asks for success as well.
            runs = evaluate(condition, contexts, failed) and (not failed or "always()" in condition)
            record = Step(name=step.get("name") or step.get("uses"))
            if not runs:
                job.steps.append(record)
                continue
            record.uses = step.get("uses")
            outputs = {}
            given = {name: resolve(value, contexts) for name, value in step.get("with", {}).items()}
            if record.uses in self.actions:
                inner = Job()
                outputs = self._run_action(self.actions[record.uses], given, inner)
                job.steps += inner.steps
                job.summary += inner.summary
                failed |= inner.failed
                job.outputs.update(outputs)
            elif record.uses:
                record.given = given
                job.steps.append(record)
            else:
                assert "${{" not in step["run"], "an expression in a shell is code for whoever can set it"
                own = {name: resolve(value, contexts) for name, value in step.get("env", {}).items()}
                record.done, outputs, summary = self._execute(step["run"], environment | own)
                job.steps.append(record)
                job.summary += summary
                failed |= record.done.returncode != 0
            contexts["steps"][step.get("id", "")] = {"outputs": outputs}
        job.failed |= failed

    def _execute(self, script, environment):
        box = self.workspace.parent
        files = {name: box / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV")}
        for path in files.values():
            path.write_text("")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.workspace,
            env={
                **self.environment,
                "GITHUB_ACTIONS": "true",
                "GITHUB_REPOSITORY": self.github["repository"],
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_RUN_ID": self.github["run_id"],
                "GITHUB_WORKFLOW": self.github["workflow"],
                "GITHUB_BASE_REF": self.github.get("base_ref", ""),
                **{name: str(path) for name, path in files.items()},
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
        return done, outputs, files["GITHUB_STEP_SUMMARY"].read_text()


def machine(folder, **extra):
    """Return an environment whose PATH has *folder* first, then this interpreter and the system's commands."""
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    kept = {name: os.environ[name] for name in ("HOME", "HPMKD_EDGE_CACHE", "OMP_NUM_THREADS") if name in os.environ}
    return {**kept, "PATH": path, "LANG": "C.UTF-8", **extra}
