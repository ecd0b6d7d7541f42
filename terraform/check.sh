#!/bin/sh
# Everything that can be said about this folder without a Google Cloud project. `make terraform` runs it.
#   format
#   validate, test                with the real provider, where the registry can be reached
#   tests/terraform               terraform's own tests and the plan as JSON, held against the rules; the zip; the mails of a
#                                 night; the deliberate mistakes. With the offline check where there is one (OFFLINE_CHECK, or
#                                 ../shared/terraform), with the real provider otherwise
# At least one of the two ways to the providers must have worked. Nothing passes in silence.
#
# `check.sh registry` ends after the second step: it needs no Python. Cloud Build runs it so.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
offline=${OFFLINE_CHECK:-$root/../shared/terraform}
python=${PYTHON:-$root/.venv/bin/python}

if ! command -v terraform >/dev/null 2>&1; then
  echo "terraform/check.sh: there is no terraform on PATH. Install 1.11 or newer: https://developer.hashicorp.com/terraform/install" >&2
  exit 1
fi
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1
ways=0

say() { printf '\n== %s\n' "$1"; }

say "format"
terraform fmt -check -recursive -diff "$here"

# In a copy with little code and an example configuration: the zip's text costs each of the 80 runs seconds, and the
# configuration is the user's own.
say "real provider"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir -p "$copy/repo/sync/config"
cp "$root/main.py" "$root/sync.schema.json" "$copy/repo/"
echo "# the lock" >"$copy/repo/requirements.txt"
cp "$root/sync/__init__.py" "$copy/repo/sync/"
cp "$root/sync/config/reader.py" "$copy/repo/sync/config/"
cp -R "$root/sync/ledger" "$copy/repo/sync/"
cp -R "$here" "$copy/repo/terraform"
cp "$here/tests/configs/default.yaml" "$copy/repo/sync.yaml"
cp "$here/tests/teardown_override.tf" "$copy/repo/terraform/"
rm -rf "$copy/repo/terraform/.terraform" "$copy/repo/terraform/backend.tf"
locked=
[ ! -f "$here/.terraform.lock.hcl" ] || locked=-lockfile=readonly
if (cd "$copy/repo/terraform" && terraform init -backend=false -input=false -no-color $locked >"$copy/init.log" 2>&1); then
  (cd "$copy/repo/terraform" && terraform validate -no-color && terraform test -no-color)
  ways=$((ways + 1))
else
  echo "not used: terraform init did not get the providers:"
  grep -v '^ *$' "$copy/init.log" | tail -3
fi

say "offline check"
if [ "${1:-}" != registry ] && [ -x "$offline/check" ]; then
  echo "used by the tests below: $offline"
  ways=$((ways + 1))
else
  echo "not used: there is no $offline/check, or it was not asked for"
fi

if [ "$ways" -eq 0 ]; then
  echo "terraform/check.sh: neither the provider registry nor an offline check could be used: nothing was checked" >&2
  exit 1
fi
[ "${1:-}" != registry ] || exit 0

say "plan, own tests, zip, alarms, mistakes"
cd "$root"
[ $# -gt 0 ] || set -- -n 2 --dist worksteal -m "slow or not slow"
TERRAFORM_REQUIRED=1 "$python" -m pytest -p no:cacheprovider -rs tests/terraform "$@"
