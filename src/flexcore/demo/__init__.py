"""The demonstration: a server, a customer's phone and an agents' backend at work.

`play` starts them as processes of their own, `scenario` says what happens, `customer` and
`agents` are the two clients, `actors` is how the scenario directs them, `ledger` holds
the server's log against what was promised.
"""
