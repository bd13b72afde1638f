"""Speaks the checker's protocol without a Lean: what it answers, or does, is named in the source it is given."""

import json
import os
import sys
import time


def say(nonce, answer):
    sys.stdout.write(f"@@{nonce} {json.dumps(answer)}\n")
    sys.stdout.flush()


def proved(request):
    return {
        "errors": False,
        "target": "t",
        "axioms": [],
        "statement": [],
        "replay": [],
        "messages": [],
        "declared": [{"name": "t", "kind": "theorem", "axioms": []}],
        "certificate": {"made": True} if request.get("certificate") else None,
    }


def check(request):
    source = request["source"]
    answer = proved(request)
    for word in source.split():
        key, equals, value = word.partition("=")
        if word == "HANG":
            time.sleep(60)
        elif word == "DIE":
            os._exit(3)
        elif word == "STACK":
            sys.stderr.write("RangeError: Maximum call stack size exceeded\n")
            sys.stderr.flush()
            os._exit(7)
        elif word == "FLOOD":
            while True:
                sys.stdout.write("x" * 65536)
        elif word == "FORGE":
            say("0" * 32, {**answer, "id": request["id"]})
            sys.stdout.write("@@ {}\nproved\n")
            answer["errors"] = True
        elif word == "OTHER":
            answer["id"] = -1
        elif key == "SAY" and equals:
            answer.update(json.loads(value))
    return answer


STATES = {}


def step(goals, tactic):
    if tactic == "HANG":
        time.sleep(60)
    if tactic == "DIE":
        os._exit(3)
    if tactic == "close":
        goals = goals[1:]
    elif tactic.startswith("add "):
        goals = [*goals, tactic[4:]]
    elif tactic != "skip":
        return {"ok": False, "error": f"unknown tactic {tactic}"}
    if not goals:
        return {"ok": True, "done": True, "axioms": []}
    STATES[len(STATES)] = goals
    return {"ok": True, "state": len(STATES) - 1, "goals": goals}


def tactics(request):
    if request["cmd"] == "goals":
        if "BAD" in request["statement"]:
            return {"ok": False, "error": "the statement does not elaborate"}
        goals = ["⊢ " + request["statement"]]
        answer = step(goals, "skip")
        for tactic in request["tactics"]:
            answer = step(answer["goals"], tactic)
        return answer
    if request["state"] not in STATES:
        return {"ok": False, "error": "no such state", "gone": True}
    return {"ok": True, "steps": [step(STATES[request["state"]], tactic) for tactic in request["tactics"]]}


def main():
    say("ready", {"version": "9.9.9, stand-in"})
    while line := sys.stdin.readline():
        request = json.loads(line)
        answer = {}
        if request["cmd"] == "check":
            answer = check(request)
        elif request["cmd"] == "replay":
            answer = {"axioms": [], "statement": [], "replay": request["certificate"].get("bad", [])}
        elif request["cmd"] in ("goals", "step"):
            answer = tactics(request)
        elif request["cmd"] == "reset":
            STATES.clear()
        elif request["cmd"] == "pid":
            answer = {"pid": os.getpid(), "environment": dict(os.environ)}
        say(request["nonce"], {"id": request["id"], **answer})


if __name__ == "__main__":
    main()
