#!/bin/sh
# Everything that can be said about this folder without a Google Cloud project. `make terraform` runs it.
#   fmt, validate, test, plan     with the real provider where the registry can be reached,
#                                 and with the offline check where there is one (OFFLINE_CHECK, or ../shared/terraform)
#   tests/terraform               the plan as JSON, the zip, and the deliberate mistakes
# At least one of the two ways must have worked. Nothing passes in silence.
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

say "real provider"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/repo"
(cd "$root" && cp -R main.py requirements.txt sync.yaml sync.schema.json sync terraform "$copy/repo/")
rm -rf "$copy/repo/terraform/.terraform" "$copy/repo/terraform/.terraform.lock.hcl"
if (cd "$copy/repo/terraform" && terraform init -backend=false -input=false -no-color >"$copy/init.log" 2>&1); then
  (cd "$copy/repo/terraform" && terraform validate -no-color && terraform test -no-color)
  ways=$((ways + 1))
else
  echo "not used: terraform init did not get the providers:"
  grep -v '^ *$' "$copy/init.log" | tail -3
fi

say "offline check"
if [ -x "$offline/check" ]; then
  "$offline/check" "$here"
  ways=$((ways + 1))
else
  echo "not used: there is no $offline/check"
fi

if [ "$ways" -eq 0 ]; then
  echo "terraform/check.sh: neither the provider registry nor an offline check could be used: nothing was checked" >&2
  exit 1
fi

say "configuration"
"$python" "$here/validate.py" "$root/sync.yaml"

say "plan, zip, alarms, mistakes"
cd "$root"
[ $# -gt 0 ] || set -- -n 2
TERRAFORM_REQUIRED=1 "$python" -m pytest -p no:cacheprovider -m "slow or not slow" -rs tests/terraform "$@"
