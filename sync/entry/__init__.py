"""What comes in, and what goes out again.

message.py   an HTTP message (JSON, Pub/Sub push, CloudEvent, query string) -> fields or a notice
notices.py   messages of other systems that say "data is ready" -> the tables to sync
request.py   fields -> Request, or every problem in them at once
http.py      one HTTP request -> one HTTP response
answer.py    RunReport or error -> HTTP status and body
commands.py  the command line
proposal.py  facts of sources -> proposed settings with their reasons
init.py      proposed settings -> the text of sync.yaml
terminal.py  what the command line prints

The two front doors are `http.handle` and `commands.main`. Nothing is exported here, so that the
function does not import the command line.
"""
