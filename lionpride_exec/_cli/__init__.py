"""
The command line. All of it but ``_streams`` needs the extra ``cli``; only ``__main__`` imports it.

``_app`` (arguments) → ``_run`` (one run) → ``_target``, ``_source``, ``_jobs`` (lines become events) and
``_output``, ``_tally``, ``_display`` (events become results). With a journal the run is that of ``_journal_run``:
``_resume`` compares it with the output (``_marks``), by what ``_identity`` and ``_kept`` tell of lines and results.
``_journal_app`` (arguments) → ``_inspect``, ``_tail``, ``_show``, ``_export``, ``_requeue`` (a command for journals
each) → ``_as_data`` (rows become data) and ``_terminal`` (text for people).
"""
