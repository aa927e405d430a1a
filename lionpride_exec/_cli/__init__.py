"""
The command line. All of it but ``streams`` needs the extra ``cli``; only ``__main__`` imports it.

``app`` (arguments) → ``line_run`` (one run) → ``target``, ``source``, ``lines`` (lines become events) and
``output``, ``summary``, ``display`` (events become results). With a journal the run is that of ``journaled_run``:
``resume`` compares it with the output (``compact_set``), by what ``line_identity`` and ``stored_results`` tell of lines
and results. ``journal_app`` (arguments) → ``inspect``, ``tail``, ``show``, ``export``, ``retry`` (a command for
journals each) → ``records`` (rows become data) and ``terminal`` (text for people).
"""
