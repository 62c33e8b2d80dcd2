#!/usr/bin/env bash
# What a new user does, from a clone to a failing gate to a passing one: docs/first_run.md in a short form.
#   tests/first_path.sh REPOSITORY FOLDER [PYTHON]
# FOLDER is made. Nothing is fetched: the new environment borrows pip and the libraries of PYTHON, all but hpmkd-edge.
set -euo pipefail
repository=$1
folder=$2
python=${3:-python3}
say() { printf '\n== %s\n' "$*"; }
fail() {
  echo "first_path.sh: $*" >&2
  exit 1
}

mkdir "$folder"
cd "$folder"

say clone
git clone --quiet "$repository" hpmkd-edge

say install
"$python" -m venv --without-pip env
site=$(env/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/borrowed.pth"
env/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation ./hpmkd-edge
PATH="$PWD/env/bin:$PATH"
imported=$(python -c 'import hpmkd_edge; print(hpmkd_edge.__file__)')
[[ $imported == "$site"/* ]] || fail "hpmkd_edge comes from $imported, not from the new environment"
hpmkd-edge --version

# The size of the file is the budget that changes; the rest leaves room for so short a training.
write_targets() {
  cat >targets.yaml <<TARGETS
targets:
  product:
    device: host
    runtime: onnxruntime
    precisions: [int8, fp32]
    budgets:
      latency_ms: {p90: {fail: 50}}
      accuracy: {max_drop: 0.2, relative_to: teacher}
      model_size_mb: {fail: $1}
TARGETS
  hpmkd-edge targets check targets.yaml
}

say compress
write_targets 4
hpmkd-edge compress --target product --targets targets.yaml --data digits --epochs 4 --rounds 1 \
  --without configuration --without attention --without temperature --without chain --output first

say "a budget that is too tight"
write_targets 0.001
code=0
hpmkd-edge gate first --targets targets.yaml | tee tight.txt || code=$?
[ "$code" = 1 ] || fail "the gate ended with $code on a budget that is too tight; 1 is needed"
grep -q 'broken.*model_size_mb' tight.txt || fail "the gate does not name the budget that is broken"

say "the budget loosened"
write_targets 4
hpmkd-edge gate first --targets targets.yaml

say "the page"
hpmkd-edge report first --output first.html
[ "$(wc -c <first.html)" -gt 100000 ] || fail "first.html is too small to be the page of a run"
say done
