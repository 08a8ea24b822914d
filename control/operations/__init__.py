"""What operators have the running system do: one module a subject, one `Operation` a control.

`registry.OPERATIONS` names all of them, `performing.perform` is the only way to have one done: it checks permissions,
writes the audit log, and waits until the component has answered.
"""
