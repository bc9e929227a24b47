"""The processes of a local cluster: started with a log each, watched, stopped, and never left behind."""

import ctypes
import os
import pathlib
import shlex
import signal
import subprocess
import urllib.error
import urllib.request


_LIBC = ctypes.CDLL(None)


class Trouble(Exception):
    """Why it does not work, for people, and the exit code."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class _ToldToStop:
    """Whether a signal told this process to stop; a second one says that there is no time for good order."""

    def __init__(self):
        self.times = 0

    def by_signal(self, _number, _frame):
        self.times += 1

    def __call__(self):
        return self.times > 0

    def in_a_hurry(self):
        return self.times > 1


told_to_stop = _ToldToStop()


def log_says(words):
    """A check: the part has written these words."""
    return lambda part: words in part.said()


def http_says(url, words):
    """A check: there is an answer at this address, with these words."""

    def check(_part):
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                return words in answer.read(65536).decode(errors="replace")
        except (OSError, urllib.error.URLError):
            return False

    return check


class Part:
    """A process of the cluster."""

    def __init__(self, name, command, folder, ready):
        self.name = name
        self.command = command
        self.log = pathlib.Path(folder) / "logs" / f"{name}.log"
        self._ready = ready
        self._began_at = 0
        self._process = None

    def start(self):
        """Starts it. Its output is added to its log."""
        with open(self.log, "ab") as log:
            self._began_at = log.tell()
            # A session of its own: Ctrl-C in the terminal must not reach it before its turn.
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    @property
    def pid(self):
        return self._process.pid

    def said(self):
        """What it has written since it was started, at most the last 64 KiB."""
        with open(self.log, "rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._began_at, end - 65536))
            return log.read().decode(errors="replace")

    def last_words(self):
        """Its last lines, as the end of a sentence."""
        lines = self.said().strip().splitlines()[-5:]
        if not lines:
            return f"it wrote nothing to {self.log}"
        return f"the end of {self.log}:\n" + "\n".join(f"  {line}" for line in lines)

    def is_ready(self):
        return self._ready(self)

    def is_running(self):
        return self._process is not None and self._process.poll() is None

    def ended(self):
        """How it ended, as the end of a sentence; nothing as long as it runs."""
        code = self._process.poll()
        if code is None:
            return ""
        if code >= 0:
            return f"has ended with exit code {code}"
        return f"was ended by {signal.Signals(-code).name}"

    def terminate(self):
        self._process.terminate()

    def wait(self, seconds):
        """Waits for it to end; kills it when it does not in time, or there is no time. Says whether it ended by itself."""
        for _ in range(int(seconds * 10)):
            if told_to_stop.in_a_hurry():
                break
            try:
                self._process.wait(0.1)
                return True
            except subprocess.TimeoutExpired:
                pass
        self._process.kill()
        self._process.wait()
        return False

    def command_line(self):
        """What starts it in a terminal, in the background."""
        return f"{shlex.join(self.command)} >> {shlex.quote(str(self.log))} 2>&1 &"


def _end_with_parent():
    """Has the kernel end the process (SIGTERM) when the one that started it dies without a word (`kill -9`)."""
    _LIBC.prctl(1, signal.SIGTERM)
