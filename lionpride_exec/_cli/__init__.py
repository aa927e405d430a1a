"""
The command line. Only ``__main__`` imports it. Every module but ``streams`` needs the extra ``cli``.

The command ``run`` is in ``run/``. ``app`` reads its arguments, ``command`` opens what they name and chooses the kind
of run, and ``line_run`` runs. ``target``, ``source`` and ``lines`` make events of lines. ``output``, ``summary`` and
``display`` show what becomes of the events. With a journal, ``journaled_run`` runs: ``resume`` compares the journal
with INPUT and with the output, by what ``line_identity`` and ``stored_results`` tell of lines and results.

The commands for journals are in ``journal/``. ``journal_app`` reads their arguments, and each command has a module.
``records`` makes data of rows, and ``terminal`` writes it for people.
"""
