"""Stand-ins for launchctl, systemctl, loginctl and pmset, by the name they are called by.

They do what the real ones do to the units of one home: read them strictly, start their processes, start them again when
they end, and answer with the words, the statuses and the delays of macOS 14 and systemd 252. All they know is in the
folder `state` beside them; `calls` there has what they were asked, one JSON list a line.
"""

import fcntl
import json
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
STATE = os.path.join(HERE, "state")
HOME = os.environ["HOME"]
AGAIN = 1.0


class Units:
    """What is loaded, under a lock while it is looked at and changed."""

    def __enter__(self):
        self.lock = open(os.path.join(STATE, "lock"), "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            with open(os.path.join(STATE, "units.json")) as file:
                self.all = json.load(file)
        except FileNotFoundError:
            self.all = {}
        return self.all

    def __exit__(self, *_):
        path = os.path.join(STATE, "units.json")
        with open(path + ".new", "w") as file:
            json.dump(self.all, file)
        os.rename(path + ".new", path)
        self.lock.close()


def fail(status, words):
    print(words, file=sys.stderr)
    sys.exit(status)


def is_alive(pid):
    """Whether a process is there and is no zombie."""
    if not pid:
        return False
    import subprocess  # What only answers a question starts at once.
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(said) and not said.startswith("Z")


def start(name):
    """Starts the process that keeps a unit running."""
    import subprocess
    subprocess.Popen(
        [sys.executable, "-IS", os.path.abspath(sys.argv[0]), "--supervise", name],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )


def supervise(name):
    import subprocess
    ending = []
    child = None

    def end(*_):
        ending.append(True)
        if child:
            child.terminate()

    signal.signal(signal.SIGTERM, end)
    with Units() as units:
        units[name]["supervisor"] = os.getpid()
        unit = dict(units[name])
    env = {"HOME": HOME, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "SHELL": "/bin/sh", **unit["env"]}
    while not ending:
        with open(unit["log"], "ab") as log:
            child = subprocess.Popen(
                unit["argv"], env=env, cwd=HOME, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )
        with Units() as units:
            units[name].update(pid=child.pid, runs=units[name].get("runs", 0) + 1)
        code = child.wait()
        with Units() as units:
            units[name].update(pid=None, exit=code)
        if not unit["lasting"]:
            break
        if not ending:
            time.sleep(AGAIN)
    with Units() as units:
        units[name]["supervisor"] = None
        if units[name].get("leaving"):
            del units[name]


def stop(unit, wait):
    """Ends a unit's process and what keeps it."""
    supervisor, pid = unit.get("supervisor"), unit.get("pid")
    if is_alive(supervisor):
        os.kill(supervisor, signal.SIGTERM)
    while wait and (is_alive(supervisor) or is_alive(pid)):
        time.sleep(0.02)


# launchd

ALLOWED = {
    "Label", "ProgramArguments", "EnvironmentVariables", "RunAtLoad", "KeepAlive", "ThrottleInterval", "ProcessType",
    "AbandonProcessGroup", "StartCalendarInterval", "StandardOutPath", "StandardErrorPath",
}


def launchctl(verb, *args):
    domain = "gui/%d" % os.getuid()
    if verb == "bootstrap":
        if args[0] != domain:
            fail(125, "Bootstrap failed: 125: Domain does not support specified action")
        return bootstrap(args[1])
    target = args[-1]
    if not target.startswith(domain + "/"):
        fail(125, "Domain does not support specified action")
    label = target[len(domain) + 1:]
    if verb == "enable":
        with Units() as units:
            units.setdefault("disabled", {})[label] = False
        return None
    with Units() as units:
        unit = units.get(label)
        unit = dict(unit) if unit else None
        if verb == "bootout" and unit:
            units[label]["leaving"] = True
            if not is_alive(unit.get("supervisor")):
                del units[label]
    if verb == "print":
        return print_unit(target, label, unit)
    if unit is None:
        fail(3, "Boot-out failed: 3: No such process")
    if verb == "bootout":
        stop(unit, wait=False)
        fail(36, "Boot-out failed: 36: Operation now in progress")
    if verb == "kickstart" and args[0] == "-k":
        if is_alive(unit.get("pid")):
            os.kill(unit["pid"], signal.SIGTERM)
        return None
    fail(64, "Unrecognized subcommand: " + verb)


def bootstrap(path):
    import plistlib
    with open(path, "rb") as file:
        plist = plistlib.load(file)
    label = plist["Label"]
    if os.path.basename(path) != label + ".plist" or set(plist) - ALLOWED:
        fail(5, "Bootstrap failed: 5: Input/output error")
    with Units() as units:
        if label in units or units.get("disabled", {}).get(label):
            fail(5, "Bootstrap failed: 5: Input/output error")
        units[label] = {
            "path": path, "argv": plist["ProgramArguments"], "env": plist.get("EnvironmentVariables", {}),
            "log": plist["StandardOutPath"], "lasting": plist.get("KeepAlive", False),
        }
    if plist.get("RunAtLoad"):
        start(label)


def print_unit(target, label, unit):
    if unit is None:
        fail(113, 'Bad request.\nCould not find service "%s" in domain for user gui: %d' % (label, os.getuid()))
    pid, code = unit.get("pid"), unit.get("exit")
    print("%s = {\n\tactive count = 1\n\tpath = %s\n\ttype = LaunchAgent" % (target, unit["path"]))
    print("\tstate = %s\n\n\tprogram = %s" % ("running" if pid else "not running", unit["argv"][0]))
    print("\targuments = {\n\t\t%s\n\t\tpid = 1\n\t}\n" % "\n\t\t".join(unit["argv"]))
    print("\truns = %d" % unit.get("runs", 0))
    if pid:
        print("\tpid = %d" % pid)
    if code is not None and code < 0:
        print("\tlast terminating signal = %d: %s" % (-code, signal.strsignal(-code)))
    else:
        print("\tlast exit code = %s" % ("(never exited)" if code is None else code))
    print("}")


# systemd

KEYS = {
    "Unit": {"Description", "StartLimitIntervalSec"},
    "Service": {
        "Type", "ExecStart", "WorkingDirectory", "Environment", "StandardOutput", "StandardError", "Restart",
        "RestartSec", "KillMode", "OOMPolicy", "TasksMax",
    },
    "Timer": {"OnCalendar", "Persistent"},
    "Install": {"WantedBy"},
}


def words(text, variables):
    """Splits a line as systemd does: quotes, backslashes, specifiers and variables."""
    out, word, quoted, at = [], None, False, 0
    while at < len(text):
        c = text[at]
        if c == '"':
            quoted, word = not quoted, word or ""
        elif c == "\\":
            at += 1
            word = (word or "") + text[at]
        elif c == "%":
            at += 1
            word = (word or "") + {"%": "%", "h": HOME}[text[at]]
        elif c == "$" and variables and out:
            at += 1
            if text[at] != "$":
                raise ValueError("a variable")
            word = (word or "") + "$"
        elif c == " " and not quoted:
            if word is not None:
                out.append(word)
            word = None
        else:
            word = (word or "") + c
        at += 1
    return out + ([word] if word is not None else [])


def folder():
    return os.path.join(HOME, ".config/systemd/user")


def parse(name):
    """Reads a unit; what is not known is an error."""
    unit, section = {"env": {}, "lasting": False}, None
    with open(os.path.join(folder(), name)) as file:
        for line in file.read().splitlines():
            if not line or line.startswith("#"):
                continue
            if line.startswith("["):
                section = line[1:-1]
                continue
            key, _, value = line.partition("=")
            if key not in KEYS[section]:
                raise ValueError(line)
            if key == "ExecStart":
                unit["argv"] = words(value, True)
            elif key == "Environment":
                (pair,) = words(value, False)
                unit["env"].update([pair.split("=", 1)])
            elif key == "StandardOutput":
                unit["log"] = value.replace("append:", "", 1).replace("%%", "%")
            elif key == "Restart":
                unit["lasting"] = value == "always"
    return unit


def systemctl(*args):
    if args[0] != "--user":
        fail(1, "the system's manager is none of a user's business")
    verb, names = args[1], [arg for arg in args[2:] if not arg.startswith("-")]
    if verb == "is-system-running":
        offline = os.path.exists(os.path.join(STATE, "offline"))
        print("offline" if offline else "degraded")
        sys.exit(1)
    if verb == "daemon-reload":
        with Units() as units:
            for unit in units.values():
                unit.pop("read", None)
        return
    if verb == "show":
        print("\n".join(show(name) for name in names), end="")
        return
    for name in names:
        if verb in ("enable", "restart", "disable") and not os.path.exists(os.path.join(folder(), name)):
            fail(1, "Failed to %s unit: Unit file %s does not exist." % (verb, name))
        if verb in ("restart", "disable"):
            with Units() as units:
                unit = dict(units.get(name, {}))
            stop(unit, wait=True)
        with Units() as units:
            unit = units.setdefault(name, {})
            if "read" not in unit:
                unit.update(parse(name), read=True)
            if verb != "restart":
                unit["enabled"] = verb == "enable"
            is_service = name.endswith(".service")
            begin = verb != "disable" and is_service and not is_alive(unit.get("supervisor"))
            unit["active"] = verb != "disable"
        if begin:
            start(name)


def show(name):
    with Units() as units:
        unit = units.get(name)
    there = os.path.exists(os.path.join(folder(), name))
    unit = unit or {}
    pid, code, lasting = unit.get("pid"), unit.get("exit"), unit.get("lasting")
    active, sub = "inactive", "dead"
    if unit.get("active"):
        active, sub = "active", "running" if pid else "auto-restart"
        if sub == "auto-restart":
            active = "activating"
        if name.endswith(".timer"):
            active, sub = "active", "waiting"
    signalled = code is not None and code < 0
    over = code is not None and not pid
    fields = {
        "LoadState": "loaded" if there else "not-found", "ActiveState": active, "SubState": sub, "MainPID": pid or 0,
        "ExecMainCode": (2 if signalled else 1) if over else 0, "ExecMainStatus": abs(code) if over else 0,
        "ExecMainExitTimestampMonotonic": 1 if over else 0,
        "UnitFileState": ("enabled" if unit.get("enabled") else "disabled") if there else "",
    }
    if lasting:
        fields["NRestarts"] = max(unit.get("runs", 0) - 1, 0)
    return "".join("%s=%s\n" % pair for pair in fields.items())


def main():
    name = os.path.basename(sys.argv[0])
    args = sys.argv[1:]
    if args[:1] == ["--supervise"]:
        return supervise(args[1])
    with open(os.path.join(STATE, "calls"), "a") as file:
        file.write(json.dumps([name, *args]) + "\n")
    if name == "launchctl":
        return launchctl(*args)
    if name == "systemctl":
        return systemctl(*args)
    if name == "loginctl":
        print("no")
        return None
    if name == "pmset":
        with open(os.path.join(STATE, "pmset")) as file:
            print(file.read(), end="")
        return None
    fail(127, name)


main()
