#!/usr/bin/env bash
# Put the gate's table on the pull request: one comment a gate, known by a hidden mark, written anew on each push.
# Needs gh with GH_TOKEN, GITHUB_REPOSITORY, GITHUB_SERVER_URL and GITHUB_RUN_ID as in a job of GitHub, and
# GATE_NAME, GATE_FOLDER (what gate.sh wrote), GATE_PULL_REQUEST (its number) and GATE_COMMIT (what was judged).
set -euo pipefail

mark="<!-- hpmkd-edge gate: $GATE_NAME -->"
comments="repos/$GITHUB_REPOSITORY/issues/$GATE_PULL_REQUEST/comments"
job="$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID"
table=$GATE_FOLDER/summary.md
body=$(mktemp)
trap 'rm -f "$body"' EXIT

{
  echo "$mark"
  # GitHub takes 65,536 characters.
  if [ "$(wc -c <"$table")" -lt 60000 ]; then
    cat "$table"
  else
    echo "hpmkd-edge ended with exit code $(cat "$GATE_FOLDER/exit-code"). The table is too long for a comment; the job has it."
  fi
  printf '\n%s\n' "For $GATE_COMMIT, with the page of the run: [the job]($job)."
} >"$body"

# Anyone may write the mark into a comment; only what Actions wrote is written over.
ours=".[] | select(.user.login == \"github-actions[bot]\" and (.body | startswith(\"$mark\"))) | .id"
put() {
  local found
  found=$(gh api --paginate "$comments?per_page=100" --jq "$ours") || return
  if [ -n "$found" ]; then
    gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/${found%%$'\n'*}" -F "body=@$body"
  else
    gh api --silent --method POST "$comments" -F "body=@$body"
  fi
}

# The verdict is the gate's; a comment that cannot be written is said to be, and does not change it.
if ! said=$(put 2>&1); then
  level=warning
  why=
  if [[ $said == *"HTTP 403"* ]]; then
    level=notice
    why=" A fork's token may only read; elsewhere the job needs pull-requests: write."
  fi
  # In a workflow command % begins an escape, and the line's end is the command's.
  said=${said//%/%25}
  echo "::$level::The table is not on the pull request: ${said//[$'\r\n']/ }$why"
fi
