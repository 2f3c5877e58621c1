#!/usr/bin/env bash
# Make .venv/ at the project's root with pinned wheels:  setup.sh [GROUP ...]
#
#   setup.sh          what running on a CPU needs
#   setup.sh tests lint   the same, and what the tests and checks need
#
# Called by cpu.sh and test.sh. Needs Python >= 3.11 with pip and venv; PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

missing() { echo "a1_trt: $1" >&2; echo "        $2" >&2; exit 1; }

[ "$(uname -s)" = Linux ] || missing "the CPU server runs on Linux only, this is $(uname -s)" \
  "use a Linux machine, WSL 2 or a container; the client library (pip install .) runs everywhere"
case "$(uname -m)" in
  x86_64 | aarch64) ;;
  *) missing "no wheels of tritonserver and openvino-genai for $(uname -m)" "use an x86_64 or aarch64 machine" ;;
esac

python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3.11 python3.12 python3 python3.13; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
      python=$candidate; break
    fi
  done
fi
[ -n "$python" ] || missing "no Python 3.11 or 3.12 found" "install one, or name it: PYTHON=/path/to/python3.11 bash $0"
"$python" -c 'import venv, ensurepip' 2>/dev/null || missing "$python has no venv module" "Debian and Ubuntu: apt-get install python3-venv"
libc=$("$python" -c 'import platform; print(platform.libc_ver()[1] or "0")')
[ "$(printf '2.35\n%s\n' "$libc" | sort -V | head -1)" = 2.35 ] || \
  missing "glibc $libc is too old for the tritonserver wheel" "needs glibc >= 2.35 (Debian 12, Ubuntu 22.04 or newer)"

if [ ! -x .venv/bin/python ]; then
  echo "a1_trt: creating .venv with $("$python" --version)" >&2
  "$python" -m venv .venv
fi
extras=cpu,serve
[ $# -eq 0 ] || extras=$extras,openai,report,simulate
requirements=("-e" ".[$extras]")
for group in "$@"; do
  # Groups are read from pyproject.toml, so that an older pip without --group does too.
  while read -r requirement; do requirements+=("$requirement"); done < <(.venv/bin/python - "$group" <<'PYTHON'
import sys
import tomllib

groups = tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]
print("\n".join(item for item in groups[sys.argv[1]] if isinstance(item, str)))
PYTHON
  )
done
stamp=$(cat pyproject.toml build_scripts/constraints.txt | sha256sum | cut -d' ' -f1)-$*
if [ "$(cat .venv/a1_trt.stamp 2>/dev/null)" != "$stamp" ]; then
  echo "a1_trt: installing pinned wheels (about 0.5 GB on disk, no torch)" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -c build_scripts/constraints.txt "${requirements[@]}"
  echo "$stamp" > .venv/a1_trt.stamp
fi
