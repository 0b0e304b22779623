#!/usr/bin/env python3
"""What an editor asks of a repo: its environments, the interpreter and packages of one, what a command in it prints."""
import json
import os
import subprocess
import sys

PRIME = os.path.join(os.path.dirname(os.path.abspath(__file__)), "prime")


class Server:
    """A workflow server of a repo. Ends with the `with` that it is used in."""

    def __init__(self, prime):
        self.process = subprocess.Popen([sys.executable, prime, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.last_id = 0

    def __enter__(self):
        self.ask("initialize", client_name="editor", client_protocol_version="0.1.0")
        return self

    def __exit__(self, *_):
        self.ask("shutdown")
        self.send(method="exit")
        self.process.wait()

    def ask(self, method, **params):
        """The result of a request; SystemExit if it is refused."""
        self.last_id += 1
        self.send(id=self.last_id, method=method, params=params)
        answer = self.receive()  # one at a time: else the id says which request it answers
        if "error" in answer:
            sys.exit("editor: %s" % answer["error"]["message"])
        return answer["result"]

    def send(self, **message):
        body = json.dumps(dict(message, jsonrpc="2.0")).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def receive(self):
        length = 0
        for line in iter(self.process.stdout.readline, b"\r\n"):
            if not line:
                sys.exit("editor: the server has ended")
            name, _, value = line.decode().partition(":")
            if name.lower() == "content-length":
                length = int(value)
        return json.loads(self.process.stdout.read(length).decode())


def main(name=None, *command):
    with Server(PRIME) as server:
        if name is None:
            for each in server.ask("environment/list"):
                print("%-10s python %s" % (each["name"], each["python_version"]))
        elif not command:
            told = server.ask("environment/get", id=name)
            print("%s, python %s" % (told["interpreter_path"], told["python_version"]))
            for package in told["installed_packages"]:
                print("  %(name)s %(version)s" % package)
        else:
            done = server.ask("environment/execute", id=name, argv=command, cwd=os.getcwd())
            sys.stdout.write(done["stdout"])
            sys.stderr.write(done["stderr"])
            return done["exit_code"]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
