#!/usr/bin/env bash
# A GPU for fifteen minutes: everything worth knowing, on one page. docs/gpu/README.md tells more.
#
#   bash scripts/gpu.sh --out gpu-out                       on an NVIDIA GPU
#   bash scripts/gpu.sh --device cpu --minutes 10 --out X   the same parts on the CPU
#
# --python PATH takes another Python than .venv's or python3; all other options go on to
# 'python -m benchmarks.gpu', whose --help lists them.
set -euo pipefail

python= words=()
while (($#)); do
  case $1 in
    --python) python=${2:?--python needs a path}; shift 2 ;;
    --python=*) python=${1#*=}; shift ;;
    *) words+=("$1"); shift ;;
  esac
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ -z $python ]]; then
  python=python3
  [[ -x $root/.venv/bin/python ]] && python=$root/.venv/bin/python
fi

# From wherever it was called: paths among the options are relative to there.
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -m benchmarks.gpu "${words[@]}"
