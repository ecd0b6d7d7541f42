"""`python -m sync.config` prints the JSON schema of sync.yaml, for editors."""

import json

from sync.config import json_schema

print(json.dumps(json_schema(), indent=2))
