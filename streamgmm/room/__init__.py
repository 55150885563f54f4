"""What a running daemon learns of the room it listens to, so that the sounds of the room become part of the background.

While nothing is detected, `room.Room` adapts a mixture (`mixture.RoomMixture`) of the room's own sounds; `state` turns
it into bytes that survive a restart. Only samples count: no clock, and no file of its own.
"""
