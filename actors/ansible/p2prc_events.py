"""Tells P2PRC what a playbook does: one JSON object a line on the file descriptor named by P2PRC_EVENTS_FD."""

import json
import os

from ansible import __version__
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: p2prc_events
    type: stdout
    short_description: events for P2PRC
    description: Writes one JSON object a line for each task on each host, and the counts at the end.
"""

TEXT_MAX = 600


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "p2prc_events"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._out = os.fdopen(int(os.environ["P2PRC_EVENTS_FD"]), "w", encoding="utf-8", errors="replace")

    def _emit(self, **event):
        self._out.write(json.dumps(event, default=str) + "\n")
        self._out.flush()

    def v2_playbook_on_start(self, playbook):
        self._emit(kind="start", version=__version__)
        oldest = os.environ.get("P2PRC_ANSIBLE_MIN_VERSION", "0")
        if numbers(__version__)[:2] < numbers(oldest)[:2]:
            # A callback that raises is only warned about, so this is the one way to stop before the first task.
            os._exit(96)

    def v2_playbook_on_play_start(self, play):
        # The strategy is loaded after this.
        if "mitogen" in play.strategy:
            patch_mitogen()

    def v2_runner_on_start(self, host, task):
        self._emit(kind="task", host=host.get_name(), task=task.get_name().strip(), status="running")

    def v2_runner_on_ok(self, result, **kwargs):
        # A debug task is how a playbook speaks to whoever runs it.
        with_message = result._task.action in ("debug", "ansible.builtin.debug") and "msg" in result._result
        self._step(result, "changed" if result._result.get("changed") else "ok", with_message=with_message)

    def v2_runner_on_failed(self, result, ignore_errors=False, **kwargs):
        self._step(result, "ignored" if ignore_errors else "failed", with_message=True)

    def v2_runner_on_unreachable(self, result):
        self._step(result, "unreachable", with_message=True)

    def v2_runner_on_skipped(self, result):
        self._step(result, "skipped")

    def v2_runner_item_on_ok(self, result):
        self._step(result, "changed" if result._result.get("changed") else "ok", item=True)

    def v2_runner_item_on_failed(self, result):
        self._step(result, "failed", item=True, with_message=True)

    def v2_runner_item_on_skipped(self, result):
        self._step(result, "skipped", item=True)

    def v2_playbook_on_stats(self, stats):
        hosts = {}
        for host in stats.processed:
            counts = stats.summarize(host)
            hosts[host] = {key: counts[key] for key in ("ok", "changed", "failures", "unreachable")}
        self._emit(kind="stats", hosts=hosts)

    def _step(self, result, status, item=False, with_message=False):
        event = {
            "kind": "task",
            "host": result._host.get_name(),
            "task": result.task_name.strip(),
            "status": status,
        }
        secret = result._task.no_log or result._result.get("_ansible_no_log")
        if item:
            label = result._result.get("_ansible_item_label", result._result.get("item"))
            event["item"] = "(hidden)" if secret else str(label)[:TEXT_MAX] or "''"
        if with_message:
            event["message"] = "(hidden by no_log)" if secret else reason(result._result)
        self._emit(**event)


def reason(result):
    """Why it failed, in the words of whatever failed: the message and the end of what it wrote to stderr."""
    parts = [str(result.get("msg", ""))]
    for key in ("stderr", "module_stderr"):
        if result.get(key):
            parts.append(str(result[key]).strip()[-TEXT_MAX // 2 :])
            break
    return ": ".join(part.strip() for part in parts if part.strip())[:TEXT_MAX]


def patch_mitogen():
    """Mends two things of Mitogen 0.3.3, which is the one in Debian 12. Once a process is enough."""
    try:
        import ansible_mitogen.affinity
        import mitogen.utils
    except ImportError:
        return
    # It pins Ansible, its workers and every ssh to half of a small machine's cores, and leaves the other half idle.
    ansible_mitogen.affinity.policy = ansible_mitogen.affinity.Policy()
    # Ansible's security fixes of 2024 made str() keep its mark on texts that come from hosts, and Mitogen up to 0.3.7
    # relies on str() to take it off, so that it cannot send such a text to a host. Upstream's own fix is the same.
    original = mitogen.utils.cast
    if original.__module__ == __name__:
        return

    def cast(value):
        strip = getattr(value, "_strip_unsafe", None)
        return strip() if strip else original(value)

    mitogen.utils.cast = cast


def numbers(version):
    """(2, 14, 18) for "2.14.18rc1"."""
    found = []
    for part in version.split("."):
        digits = "".join(character for character in part if character.isdigit())
        found.append(int(digits or 0))
    return tuple(found)
