#!/usr/bin/env bash
# anthropic 2.14.0 and openai 3.57.0: an error event inside a stream is none of the errors that the same trouble is
# outside of one, and is not repeated by the client, whatever max_retries says.
#
# A stream begins with status 200, and trouble is told later by an event: anthropic's {"type": "overloaded_error"} or
# {"type": "rate_limit_error"}, openai's {"code": "rate_limit_exceeded"}. With a status of 529 or 429 the clients raise
# subclasses (OverloadedError, RateLimitError) with this status, after max_retries repeats. In a stream
#   anthropic raises a bare APIStatusError whose status_code is 200: "except RateLimitError", "status_code == 429" and
#     "status_code >= 500" all miss it;
#   openai raises a bare APIError, which has no status_code.
# A program that decides by class or status takes both for final errors. What tells them is the body: body["error"]["type"]
# of the one, .code of the other.
#
# Output seen on Python 3.11 (exits 1 if it changes):
#   anthropic rate_limit_error: APIStatusError, status_code 200, is RateLimitError False, 1 request
#   anthropic overloaded_error: APIStatusError, status_code 200, is RateLimitError False, 1 request
#   openai rate_limit_exceeded: APIError, status_code None, is RateLimitError False, 1 request
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q anthropic==2.14.0 openai==3.57.0
cat > server.py <<'PY'
import json, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

requests, event = [], ""

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        requests.append(self.path)
        body = event.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"

import anthropic, openai

def tell(name, call, module):
    requests.clear()
    try:
        call()
    except Exception as exc:
        print(f"{name}: {type(exc).__name__}, status_code {getattr(exc, 'status_code', None)}, "
              f"is RateLimitError {isinstance(exc, module.RateLimitError)}, {len(requests)} request")

messages = [{"role": "user", "content": "hello"}]
ours = anthropic.Anthropic(api_key="none", base_url=url, max_retries=2)
for kind in ("rate_limit_error", "overloaded_error"):
    event = "event: error\ndata: " + json.dumps({"type": "error", "error": {"type": kind, "message": "later"}}) + "\n\n"
    tell(f"anthropic {kind}", lambda: list(ours.messages.create(model="m", max_tokens=9, messages=messages, stream=True)), anthropic)
theirs = openai.OpenAI(api_key="none", base_url=url, max_retries=2)
event = "data: " + json.dumps({"error": {"message": "later", "type": "tokens", "code": "rate_limit_exceeded"}}) + "\n\n"
tell("openai rate_limit_exceeded", lambda: list(theirs.chat.completions.create(model="m", messages=messages, stream=True)), openai)
PY
venv/bin/python server.py | tee found
cat > expected <<'END'
anthropic rate_limit_error: APIStatusError, status_code 200, is RateLimitError False, 1 request
anthropic overloaded_error: APIStatusError, status_code 200, is RateLimitError False, 1 request
openai rate_limit_exceeded: APIError, status_code None, is RateLimitError False, 1 request
END
diff expected found && echo "as described"
