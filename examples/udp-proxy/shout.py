"""Answers each datagram with the same text in capital letters."""

import socket

with socket.socket(type=socket.SOCK_DGRAM) as shouter:
    shouter.bind(("127.0.0.1", 20002))
    print("shouting on port 20002")
    while True:
        text, sender = shouter.recvfrom(65536)
        shouter.sendto(text.upper(), sender)
