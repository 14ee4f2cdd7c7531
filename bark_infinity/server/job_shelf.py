"""What all jobs of a server share: the output folder, the queue file, the loaded model, and how revisions are counted."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..bark import Bark
from ..errors import UsageError
from ..narration import ClipSource
from ..options.table import Options
from ..run.prompts import Notify
from ..run.script_names import ScriptNames
from .job_options import options_of_job
from .job_records import JobRecord, QueueFile
from .shared_recognizers import SharedRecognizers


@dataclass
class Shelf:
    """What jobs share. `folder`: of their clips. `names`: finds the files that texts name.

    The lock of `changed` guards all jobs, and it is notified of each new revision. `revision`: of the last change; it begins
    with the time, so that revisions rise over restarts too.
    """

    folder: Path
    defaults: Options
    bark: Bark
    queue: QueueFile
    names: ScriptNames
    recognizers: SharedRecognizers = field(default_factory=SharedRecognizers)
    changed: threading.Condition = field(default_factory=threading.Condition)
    revision: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def next_revision(self) -> int:
        """The revision of a change that is being made. Whoever waits for one is woken. Needs the lock."""
        self.revision = max(self.revision + 1, time.time_ns() // 1_000_000)
        self.changed.notify_all()
        return self.revision

    def source(self, record: JobRecord, notify: Notify = lambda _: None) -> ClipSource:
        """What a job speaks, with its options. Raises UsageError or TextError for what cannot be spoken."""
        options = options_of_job(record.options, self.defaults, self.bark, self.folder, self._spoken(record))
        return ClipSource(options, notify, names=self.names)

    def _spoken(self, record: JobRecord) -> dict[str, object]:
        """The flag that says what a job speaks."""
        if record.source is None:
            raise UsageError("the job has nothing more to do; its clip was made on the command line")
        path = self.queue.folder_of(record.id) / record.source
        if not record.is_text:
            return {"prompt_file": str(path)}
        try:
            return {"text_prompt": path.read_text("utf-8")}
        except OSError as error:
            raise UsageError(f"the text {path} cannot be read ({error.strerror}); make a new job of it") from None
