# -*- test-case-name: aero.stack.tcp.test.test_flight -*-
"""
The segments that are on their way to the guest, and what is known of each: the scoreboard of
RFC 6675 with the times that RACK needs (RFC 8985).

Positions count bytes from the initial sequence number and never wrap.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter, itemgetter

#: Segments on their way at once. It bounds the work of an acknowledgment, whatever the guest
#: makes of it.
MAX_SEGMENTS = 1024

_end = attrgetter("end")
_left = itemgetter(0)


class Segment:
    """
    Bytes that were sent together.

    @ivar start: The position of the first.
    @ivar end: The position behind the last; a FIN counts as a byte.
    @ivar data: The payload.
    @ivar fin: Whether it ends the stream.
    @ivar push: Whether it has data, and nothing was waiting behind it.
    @ivar time: When it was sent last.
    @ivar again: Whether a retransmission of it is on its way.
    @ivar repeated: Whether it was ever sent twice.
    @ivar lost: Whether the first transmission is taken for lost.
    @ivar sacked: Whether the guest has it.
    """

    __slots__ = (
        "again",
        "data",
        "end",
        "fin",
        "lost",
        "push",
        "repeated",
        "sacked",
        "start",
        "time",
    )

    def __init__(self, start: int, data: bytes, fin: bool, push: bool, time: float) -> None:
        self.start = start
        self.end = start + len(data) + fin
        self.data = data
        self.fin = fin
        self.push = push
        self.time = time
        self.again = False
        self.repeated = False
        self.lost = False
        self.sacked = False


class Flight:
    """
    What was sent and is not acknowledged.

    @ivar una: The first position that is not acknowledged: SND.UNA.
    @ivar nxt: The next to be sent: SND.NXT.
    @ivar segments: In order, without gaps, from C{head} on.
    @ivar head: The index of the first.
    @ivar sacked: Bytes that the guest has, although something before them is missing.
    @ivar sackedCount: The segments of them.
    @ivar lost: Bytes taken for lost, whether sent again or not.
    @ivar again: Bytes of retransmissions on their way.
    @ivar sample: The round trip that the last call of L{acknowledge} or L{sack} measured, from
        segments that were sent once; negative for none.
    @ivar rackTime: When the segment was sent that was sent last of those delivered.
    @ivar rackEnd: Its end.
    @ivar rackTrip: Its round trip.
    @ivar reordered: Whether segments ever overtook each other.
    @ivar highest: The end of the last delivered segment.
    """

    __slots__ = (
        "_hint",
        "_ranges",
        "again",
        "head",
        "highest",
        "lost",
        "nxt",
        "rackEnd",
        "rackTime",
        "rackTrip",
        "reordered",
        "sacked",
        "sackedCount",
        "sample",
        "segments",
        "sinceRepeat",
        "una",
    )

    def __init__(self, start: int) -> None:
        """
        @param start: The position of the first byte.
        """
        self.una = start
        self.nxt = start
        self.segments: list[Segment] = []
        self.head = 0
        self.sacked = 0
        self.sackedCount = 0
        self.lost = 0
        self.again = 0
        self.sample = -1.0
        self.sinceRepeat = -1.0
        self.rackTime = -1.0
        self.rackEnd = 0
        self.rackTrip = 0.0
        self.reordered = False
        self.highest = 0
        self._hint = 0
        #: What the guest has said it has: disjoint, in order.
        self._ranges: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self.segments) - self.head

    def pipe(self) -> int:
        """
        Bytes believed to be on their way (RFC 6675 section 4).
        """
        return self.nxt - self.una - self.sacked - self.lost + self.again

    def add(self, segment: Segment) -> None:
        """
        A segment is sent for the first time; it begins at C{nxt}.
        """
        self.segments.append(segment)
        self.nxt = segment.end

    def acknowledge(self, position: int, now: float, minimum: float) -> int:
        """
        The guest has everything before a position.

        @param minimum: The shortest round trip of late; a retransmission that seems to have
            taken less was not what was acknowledged (RFC 8985 section 6.2, step 2).
        @return: Bytes that it was not known to have.
        """
        self.una = position
        segments = self.segments
        head = self.head
        count = len(segments)
        delivered = 0
        repeated = -1.0
        while head < count:
            segment = segments[head]
            if segment.end > position:
                if segment.start < position:
                    delivered += self._trim(segment, position)
                break
            head += 1
            if segment.sacked:
                self.sacked -= segment.end - segment.start
                self.sackedCount -= 1
            else:
                delivered += segment.end - segment.start
                if segment.lost or segment.again:
                    self._forgive(segment)
                if segment.repeated and segment.time > repeated:
                    repeated = segment.time
                self._delivered(segment, now, minimum)
        if repeated >= 0.0:
            # What lies behind it may have arrived long ago.
            self.sample = -1.0
            self.sinceRepeat = now - repeated
        if head == count:
            segments.clear()
            head = 0
            self._hint = 0
        elif head > 64 and head * 2 > count:
            del segments[:head]
            self._hint = max(0, self._hint - head)
            head = 0
        self.head = head
        ranges = self._ranges
        if ranges:
            while ranges and ranges[0][1] <= position:
                del ranges[0]
        return delivered

    def _trim(self, segment: Segment, position: int) -> int:
        """
        Cut off what the guest has of the first segment.
        """
        size = position - segment.start
        segment.data = segment.data[size:]
        segment.start = position
        if segment.sacked:
            self.sacked -= size
            return 0
        if segment.lost:
            self.lost -= size
        if segment.again:
            self.again -= size
        return size

    def _forgive(self, segment: Segment) -> None:
        """
        A segment was delivered after all.
        """
        size = segment.end - segment.start
        if segment.lost:
            segment.lost = False
            self.lost -= size
        if segment.again:
            segment.again = False
            self.again -= size

    def _delivered(self, segment: Segment, now: float, minimum: float) -> None:
        """
        Keep what a delivered segment tells about time and order (RFC 8985 section 6.2).
        """
        time = segment.time
        trip = now - time
        if segment.repeated:
            if trip < minimum:
                return
        else:
            self.sample = trip
            if segment.end < self.highest:
                self.reordered = True
        if segment.end > self.highest:
            self.highest = segment.end
        if time > self.rackTime or (time == self.rackTime and segment.end > self.rackEnd):
            self.rackTime = time
            self.rackEnd = segment.end
            self.rackTrip = trip

    def sack(self, left: int, right: int, now: float, minimum: float) -> int:
        """
        The guest has a stretch that does not begin where it should.

        Marking costs time for each segment once, and finding the place the logarithm of the
        number of segments, so that a guest that says the same again and again costs little.

        @param left: A position, after the last that was acknowledged.
        @param right: Behind it, and not behind what was sent.
        @return: Bytes that it was not known to have.
        """
        ranges = self._ranges
        if len(ranges) > len(self.segments) - self.head:
            # There are no more gaps than segments: these are made up.
            return 0
        index = bisect_right(ranges, left, key=_left)
        begin = left
        if index and ranges[index - 1][1] >= left:
            index -= 1
            known = ranges[index]
            if known[1] >= right:
                return 0
            begin = known[1]
            left = known[0]
        last = index
        while last < len(ranges) and ranges[last][0] <= right:
            last += 1
        if last > index and ranges[last - 1][1] > right:
            right = ranges[last - 1][1]
        ranges[index:last] = [(left, right)]
        segments = self.segments
        place = bisect_right(segments, begin, self.head, key=_end)
        delivered = 0
        for index in range(place, len(segments)):
            segment = segments[index]
            if segment.end > right:
                break
            if segment.sacked or segment.start < left:
                continue
            size = segment.end - segment.start
            segment.sacked = True
            self.sacked += size
            self.sackedCount += 1
            delivered += size
            if segment.lost or segment.again:
                self._forgive(segment)
            self._delivered(segment, now, minimum)
        return delivered

    def loseLate(self, now: float, window: float) -> float:
        """
        Take for lost what was sent so long before something that was delivered that it should
        have been as well (RFC 8985 section 6.2, step 5). At most C{MAX_SEGMENTS} are looked at.

        @param window: How far segments may overtake each other, in seconds.
        @return: When to look again, as seconds from now; 0 if there is nothing to wait for.
        """
        wait = 0.0
        rackTime = self.rackTime
        deadline = self.rackTrip + window - now
        segments = self.segments
        for index in range(self.head, len(segments)):
            segment = segments[index]
            if segment.sacked or (segment.lost and not segment.again):
                continue
            time = segment.time
            if time > rackTime:
                if segment.again:
                    continue
                # Whatever was sent once behind it was sent later still.
                if not self.again:
                    break
                continue
            if time == rackTime and segment.end >= self.rackEnd:
                continue
            remaining = time + deadline
            if remaining <= 1e-9:
                self.lose(index)
            elif remaining > wait:
                wait = remaining
        return wait

    def lose(self, index: int) -> None:
        """
        Take a segment for lost that the guest is not known to have.
        """
        segment = self.segments[index]
        size = segment.end - segment.start
        if segment.again:
            segment.again = False
            self.again -= size
        if not segment.lost:
            segment.lost = True
            self.lost += size
        if index < self._hint:
            self._hint = index

    def loseFirst(self) -> bool:
        """
        Take the first segment for lost.

        @return: Whether it had not been already.
        """
        if self.head >= len(self.segments):
            return False
        segment = self.segments[self.head]
        if segment.sacked or (segment.lost and not segment.again):
            return False
        self.lose(self.head)
        return True

    def timedOut(self, now: float, window: float) -> None:
        """
        Nothing was heard for so long that all is taken for lost but what was just sent
        (RFC 8985 section 6.3). A guest that does not have the first, although it said so, is
        not believed in anything it said (RFC 2018 section 8).
        """
        segments = self.segments
        if self.head < len(segments) and segments[self.head].sacked:
            self.distrust()
        late = now - self.rackTrip - window
        for index in range(self.head, len(segments)):
            segment = segments[index]
            if segment.sacked:
                continue
            if index == self.head or segment.time <= late:
                self.lose(index)
        self._hint = self.head

    def distrust(self) -> None:
        """
        Forget what the guest said it has.
        """
        self._ranges.clear()
        self.sacked = 0
        self.sackedCount = 0
        for index in range(self.head, len(self.segments)):
            self.segments[index].sacked = False

    def nothingLost(self) -> None:
        """
        What was taken for lost was not.
        """
        for index in range(self.head, len(self.segments)):
            segment = self.segments[index]
            if segment.lost:
                segment.lost = False
                self.lost -= segment.end - segment.start

    def firstLost(self) -> Segment | None:
        """
        The next segment to send again; C{None} if there is none.
        """
        segments = self.segments
        count = len(segments)
        index = max(self._hint, self.head)
        while index < count:
            segment = segments[index]
            if segment.lost and not segment.again:
                self._hint = index
                return segment
            index += 1
        self._hint = count
        return None

    def sentAgain(self, segment: Segment, now: float) -> None:
        """
        A segment is on its way once more.
        """
        if not segment.again:
            segment.again = True
            self.again += segment.end - segment.start
        segment.repeated = True
        segment.time = now

    def split(self, most: int) -> None:
        """
        Cut every segment that is too large for the path now, and take those for lost
        (RFC 1191 section 6.4).
        """
        pieces: list[Segment] = []
        for index in range(self.head, len(self.segments)):
            segment = self.segments[index]
            if len(segment.data) <= most:
                pieces.append(segment)
                continue
            if not segment.sacked:
                self.lose(index)
            for at in range(0, len(segment.data), most):
                data = segment.data[at : at + most]
                final = at + most >= len(segment.data)
                piece = Segment(
                    segment.start + at,
                    data,
                    segment.fin and final,
                    segment.push and final,
                    segment.time,
                )
                piece.sacked = segment.sacked
                piece.lost = segment.lost
                piece.repeated = segment.repeated
                pieces.append(piece)
            if segment.sacked:
                self.sackedCount += (len(segment.data) - 1) // most
        self.segments = pieces
        self.head = 0
        self._hint = 0
