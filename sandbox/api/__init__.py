"""The provider's endpoints: each module answers one page of the contract from the market.

Tokens, quotas, faults and sockets are elsewhere: a handler takes an `Exchange` and gives a `Reply` or raises `ApiError`.
"""
