#!/usr/bin/env bash
# The gate of every CI: compress or measure, judge, draw the page. docs/ci.md says what each GATE_ variable means.
# Ends as the gate does: 0 met, 1 broken, 2 bad input, 3 no device or runtime, 4 failed, 5 inconclusive.
set -euo pipefail

name=${GATE_NAME:-hpmkd-edge-gate}
command=${GATE_COMMAND:-none}
targets=${GATE_TARGETS:-}
fail_on_inconclusive=${GATE_FAIL_ON_INCONCLUSIVE:-true}
allow_predicted=${GATE_ALLOW_PREDICTED:-false}
folder=
verdict=none

refuse() {
  echo "gate.sh: $1" >&2
  exit 2
}

# Whatever happened, the folder says how it ended: a comment of the push before must not stand for this one.
finish() {
  local code=$?
  if [ "$verdict" = none ]; then
    # 1 and 5 are verdicts; a full disk under a shell command is none.
    case $code in 0 | 1 | 5) code=4 ;; esac
  fi
  if [ -n "$folder" ]; then
    echo "$code" >"$folder/exit-code"
    [ -s "$folder/summary.md" ] ||
      echo "**hpmkd-edge gave no verdict**: it ended with exit code $code; the job's log has the reason." >"$folder/summary.md"
    [ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$folder/summary.md" >>"$GITHUB_STEP_SUMMARY"
  fi
  if [ -n "${GITHUB_OUTPUT:-}" ]; then
    printf '%s\n' "exit-code=$code" "verdict=$verdict" "folder=$folder" >>"$GITHUB_OUTPUT"
    [ ! -f "$folder/report.html" ] || echo "report=$folder/report.html" >>"$GITHUB_OUTPUT"
  fi
  if [ "$code" = 5 ] && [ "$fail_on_inconclusive" = false ]; then
    echo "gate.sh: inconclusive, which is let through." >&2
    code=0
  fi
  exit "$code"
}
trap finish EXIT

[[ $name =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] ||
  refuse "GATE_NAME is '$name'; letters, digits, dots, dashes and underscores are needed, a letter or digit first."
[ ! -e "$name" ] || refuse "$name exists already; remove it, or give another GATE_NAME."
mkdir "$name"
folder=$name

case $command in
  compress | profile | none) ;;
  *) refuse "GATE_COMMAND is '$command'; compress, profile or none is needed." ;;
esac
for switch in allow_predicted fail_on_inconclusive; do
  case ${!switch} in
    true | false) ;;
    *) refuse "GATE_${switch^^} is '${!switch}'; true or false is needed." ;;
  esac
done
command -v hpmkd-edge >/dev/null || {
  echo "gate.sh: there is no hpmkd-edge on the PATH; install it before this script." >&2
  exit 3
}

# Words as a shell parts them, by blanks and quotes, but nothing in them is expanded or run.
mapfile -d '' -t words < <(printf '%s' "${GATE_ARGUMENTS:-}" | xargs -r printf '%s\0' 2>/dev/null)
wait "$!" || refuse "GATE_ARGUMENTS has a quote that does not close on its line: ${GATE_ARGUMENTS:-}"
# Of paths, each line is one, so that any may hold blanks.
lines_of() { printf '%s\n' "$1" | sed '/^[[:space:]]*$/d'; }
mapfile -t reports < <(lines_of "${GATE_REPORTS:-}")
mapfile -t profiles < <(lines_of "${GATE_PROFILES:-}")
mapfile -t baselines < <(lines_of "${GATE_BASELINE:-}")

# What compress and profile find broken or unknown, the gate says again, by all that it was given.
tell() { "$@" || case $? in 1 | 5) ;; *) return $? ;; esac }
case $command in
  compress)
    tell hpmkd-edge compress "${words[@]}" ${targets:+"--targets=$targets"} "--output=$folder/run"
    reports+=("$folder/run")
    ;;
  profile)
    [ "${#reports[@]}" -gt 0 ] || refuse "GATE_REPORTS is empty; profile needs the report of the run that made the model."
    tell hpmkd-edge profile "${words[@]}" ${targets:+"--targets=$targets"} "--output=$folder/profile.json"
    profiles+=("$folder/profile.json")
    ;;
  none)
    [ "${#words[@]}" = 0 ] || refuse "GATE_ARGUMENTS is given, but GATE_COMMAND is none; compress or profile takes them."
    [ "${#reports[@]}" -gt 0 ] || refuse "GATE_REPORTS is empty; a report.json or a run's folder is needed."
    ;;
esac

gate=(hpmkd-edge gate ${targets:+"--targets=$targets"})
for path in "${profiles[@]}"; do gate+=("--profile=$path"); done
for path in "${baselines[@]}"; do gate+=("--baseline=$path"); done
gate+=(${GATE_MAX_ACCURACY_DROP:+"--max-accuracy-drop=$GATE_MAX_ACCURACY_DROP"})
gate+=(${GATE_MAX_LATENCY_GROWTH:+"--max-latency-growth=$GATE_MAX_LATENCY_GROWTH"})
gate+=(${GATE_MAX_SIZE_GROWTH:+"--max-size-growth=$GATE_MAX_SIZE_GROWTH"})
[ "$allow_predicted" = false ] || gate+=(--allow-predicted)
shown=("--junit=$folder/junit.xml" "--summary=$folder/summary.md")
[ "${GITHUB_ACTIONS:-}" != true ] || shown+=(--annotations)

code=0
"${gate[@]}" "${shown[@]}" -- "${reports[@]}" || code=$?
case $code in
  0) verdict=met ;;
  1) verdict=broken ;;
  5) verdict=inconclusive ;;
  *) exit "$code" ;;
esac
# The same judgement for machines; it ends with the same code.
"${gate[@]}" --format json -- "${reports[@]}" >"$folder/gate.json" || [ "$?" = "$code" ]
page=$folder/report.html
number=1
for report in "${reports[@]}"; do
  hpmkd-edge report "--output=$page" -- "$report"
  number=$((number + 1))
  page=$folder/report-$number.html
done
exit "$code"
