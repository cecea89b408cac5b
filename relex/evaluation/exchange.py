"""Files in the folder through which the parent and the engine's process exchange many requests."""

CANARY_FILE = "canary.jsonl"
REQUESTS_FILE = "requests.jsonl"
COMPLETIONS_FILE = "completions.jsonl"
