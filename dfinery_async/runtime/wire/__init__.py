"""HTTP/1.1 on asyncio's transports: one connection, a pool in constant time, and what makes both an httpx transport.

A request carries one user's events, so the cost of a request bounds the whole client. httpx's stock pool walks all its
connections for every request; here nothing is walked, and a request costs little more than on a bare socket.
"""
