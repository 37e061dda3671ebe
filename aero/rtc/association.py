# -*- test-case-name: aero.rtc.test.test_association -*-
"""
An SCTP association: aiortc's handshake, states and stream resets around a data path of our own.

aiortc sends every chunk in a packet of its own, wakes a task for each packet that comes, and
neither bounds what it buffers nor looks at the peer's window. This subclass keeps its slow half
(INIT, cookies, RE-CONFIG, their timers) and replaces the fast one:
L{aero.rtc.inbound} and L{aero.rtc.outbound} hold the state, and here packets come in batches, are
checked by L{aero.rtc.guard}, and are answered once for each batch.

Everything runs in the turn in which it is called. The coroutines of aiortc that remain have
nothing to wait for, because the one place where they could, sending a chunk, only appends to the
packets of this turn; L{_drive} relies on it.
"""

from __future__ import annotations

import struct
from asyncio import TimerHandle
from collections.abc import Coroutine
from typing import Any, Protocol, Sequence

from aiortc import rtcsctptransport as upstream
from aiortc.rtcsctptransport import RTCSctpTransport
from google_crc32c import value as crc32c
from twisted.logger import Logger

from . import guard
from .datachannel import ChannelReceiver, ChannelRequest, DataChannel
from .inbound import OVERHEAD, BufferExhausted, Inbound, Message, MessageTooLarge
from .outbound import Outbound, SendStream

#: Packets sent in one turn of the reactor; the rest follows in the next.
BURST = 16
#: Seconds that an acknowledgement may wait for data to travel with.
SACK_DELAY = 0.02
#: Data channels of one association that are open or closing at a time.
MAX_CHANNELS = 64

#: Payload protocols (RFC 8831 section 8).
DCEP, STRING, BINARY, EMPTY_STRING, EMPTY_BINARY = 50, 51, 53, 56, 57
_ACK, _OPEN = 2, 3
_OPEN_MESSAGE = struct.Struct("!BBHLHH")

_PREFIX = struct.Struct("!HHL")
_TAG = struct.Struct("!L")
_CHECKSUM = struct.Struct("<L")
_NO_CHECKSUM = bytes(4)
_MODULO = 2**32

_State = RTCSctpTransport.State
#: What aiortc's handlers raise where a chunk makes no sense in this state.
_NONSENSE = (ValueError, AssertionError, KeyError, IndexError, TypeError, struct.error)


class AssociationOwner(Protocol):
    """
    What hears of channels and of the end.
    """

    def channelRequested(self, request: ChannelRequest) -> ChannelReceiver | None:
        """
        Decide about a new data channel; C{None} closes it.
        """

    def associationEstablished(self) -> None:
        """
        Data can be sent.
        """

    def messageTooLarge(self, label: str, size: int) -> None:
        """
        A message was longer than may be; C{associationEnded} follows.
        """

    def associationEnded(self, reason: str) -> None:
        """
        The association is over. Called once.
        """


class Association(RTCSctpTransport):
    """
    One association over one DTLS transport.

    @ivar malformed: Packets dropped because they were no SCTP, or not for us.
    @ivar inbound: The receiving half.
    @ivar outbound: The sending half.
    """

    _log = Logger()
    # More exact, or more general, than what aiortc declares.
    _loop: Any
    _data_channels: dict[int, Any]

    def __init__(
        self, transport: Any, owner: AssociationOwner, *, maxMessage: int, maxBuffer: int
    ) -> None:
        """
        @param transport: A L{aero.rtc.dtls.DTLSTransport}.
        @param maxMessage: Bytes of the longest message taken.
        @param maxBuffer: Bytes held for reassembly.
        """
        self.inbound = Inbound(maxMessage=maxMessage, maxBuffer=maxBuffer)
        super().__init__(transport)
        self._dtls = transport
        self._advertised_rwnd = maxBuffer
        self._rto = 1.0
        self.outbound = Outbound(self._local_tsn)
        self.malformed = 0
        self._owner = owner
        self._packets: list[bytes] = []
        self._blocked = 0
        self._receiving = False
        self._batches: dict[DataChannel, list[bytes]] = {}
        self._flushing: Any = None
        self._retransmitting: TimerHandle | None = None
        self._acknowledging: TimerHandle | None = None
        self._ended = False
        self._endReason = "sctp closed"

    @property
    def isEstablished(self) -> bool:
        """
        Whether data can be sent.
        """
        return self._association_state is _State.ESTABLISHED

    # -- what channels use

    def sendMessages(self, stream: SendStream, messages: Sequence[bytes], limit: int) -> int:
        """
        See L{DataChannel.send}.
        """
        queue = self.outbound.queue
        for message in messages:
            if message:
                queue(stream, BINARY, message)
            else:
                queue(stream, EMPTY_BINARY, b"\0")
        dropped = 0
        while limit and stream.queuedBytes > limit and stream.dropOldest():
            dropped += 1
        self._flushSoon()
        return dropped

    def closeChannel(self, channel: DataChannel) -> None:
        """
        See L{DataChannel.close}.
        """
        self._data_channel_close(channel)

    def channelResumed(self, channel: DataChannel) -> None:
        """
        See L{DataChannel.resumeReading}.
        """
        window = self.inbound.window
        held, channel.held = channel.held, []
        for message in held:
            self.inbound.held -= len(message.payload) + OVERHEAD
            self._deliver(channel, message)
        self._deliverBatches()
        self._blocked = sum(bool(c.held) for c in self._channels)
        if self.inbound.window > 2 * window:
            # The peer may be waiting for the window to open (RFC 9260 section 6.2).
            self.inbound.sackNeeded += 1
            self.inbound.sackNow = True
            self._flushSoon()

    def channelEnds(self, channel: DataChannel) -> None:
        """
        A channel is closing or closed: nothing of it is delivered any more.
        """
        for message in channel.held:
            self.inbound.held -= len(message.payload) + OVERHEAD
        channel.held.clear()
        self._blocked = sum(bool(c.held) for c in self._channels)
        if channel.readyState == "closed":
            self.outbound.resetStream(channel.stream)

    def call(self, hook: Any, *arguments: Any) -> None:
        """
        Call a receiver. Its errors end the association, not the process.
        """
        try:
            hook(*arguments)
        except Exception:  # noqa: BLE001 - a receiver may raise anything
            self._log.failure("The receiver of a data channel failed")
            self.end("internal error")

    def end(self, reason: str) -> None:
        """
        Abort the association.
        """
        if not self._ended:
            self._endReason = reason
            if self._association_state is not _State.CLOSED:
                _drive(self._abort())
            self._set_state(_State.CLOSED)

    # -- packets

    def packetsReceived(self, packets: list[bytes]) -> None:
        """
        Take the packets of one turn.
        """
        self._receiving = True
        try:
            for packet in packets:
                self._packetReceived(packet)
                if self._ended:
                    return
            self._deliverBatches()
            if self._reconfig_deferred is not None:
                _drive(self._reset_deferred_streams())
        except MessageTooLarge as problem:
            channel = self._data_channels.get(problem.stream)
            self._owner.messageTooLarge(channel.label if channel else "", problem.size)
            self.end("message too large")
        except BufferExhausted as problem:
            self.end(str(problem))
        except _NONSENSE:
            self.malformed += 1
        finally:
            self._receiving = False
        self._flush()

    def _packetReceived(self, packet: bytes) -> None:
        try:
            spans = guard.splitPacket(packet)
        except guard.MalformedPacket:
            self.malformed += 1
            return
        (tag,) = _TAG.unpack_from(packet, 4)
        isInit = any(span.kind == guard.INIT for span in spans)
        if tag != (0 if isInit else self._local_verification_tag) or (isInit and len(spans) > 1):
            self.malformed += 1
            return
        hasData = False
        for kind, flags, start, end in spans:
            if kind == guard.DATA:
                hasData = True
                found = self.inbound.dataReceived(
                    packet, start, end, flags, blocked=bool(self._blocked)
                )
                for message in found:
                    self._messageReceived(message)
            elif kind == guard.SACK:
                self.outbound.sackReceived(packet, start, self._loop.time())
            elif kind == guard.FORWARD_TSN:
                for message in self.inbound.forwardReceived(packet, start, end):
                    self._messageReceived(message)
            else:
                self._controlReceived(kind, flags, packet[start + 4 : end])
            if self._ended:
                return
        if hasData:
            self.inbound.sackNeeded += 1

    def _controlReceived(self, kind: int, flags: int, body: bytes) -> None:
        """
        Leave a chunk to aiortc.
        """
        if kind == guard.INIT and self.isEstablished:
            return  # it would begin anew, which no browser does
        made = upstream.CHUNK_TYPES.get(kind)
        if made is None:
            return
        if kind == guard.ABORT:
            self._endReason = "sctp aborted by the peer"
        elif kind == guard.RECONFIG:
            self._deliverBatches()  # what came before a stream ends
        chunk: Any = made(flags, body)
        _drive(self._receive_chunk(chunk))
        if kind in (guard.INIT, guard.INIT_ACK):
            self.outbound.peerWindow = chunk.advertised_rwnd
        elif kind == guard.SHUTDOWN:
            self._flush()
            self._endReason = "sctp closed by the peer"
            self._set_state(_State.CLOSED)

    def _messageReceived(self, message: Message) -> None:
        channel = self._data_channels.get(message.stream)
        if message.protocol == DCEP:
            self._controlMessageReceived(message)
        elif channel is None or channel.receiver is None:
            return
        elif channel.paused or channel.held:
            channel.held.append(message)
            self.inbound.held += len(message.payload) + OVERHEAD
            self._blocked = self._blocked or 1
        else:
            self._deliver(channel, message)

    def _deliver(self, channel: DataChannel, message: Message) -> None:
        protocol = message.protocol
        if protocol in (BINARY, EMPTY_BINARY):
            payload = message.payload if protocol == BINARY else b""
            batch = self._batches.get(channel)
            if batch is None:
                self._batches[channel] = [payload]
            else:
                batch.append(payload)
        elif protocol in (STRING, EMPTY_STRING) and channel.receiver is not None:
            size = len(message.payload) if protocol == STRING else 0
            self.call(channel.receiver.textReceived, size)

    def _deliverBatches(self) -> None:
        """
        Hand over what the packets of this turn carried.
        """
        while self._batches:
            channel, messages = self._batches.popitem()
            if channel.receiver is not None:
                self.call(channel.receiver.messagesReceived, messages)

    def _controlMessageReceived(self, message: Message) -> None:
        """
        Take a message of the Data Channel Establishment Protocol (RFC 8832).
        """
        payload, number = message.payload, message.stream
        if payload[:1] != bytes([_OPEN]):
            return  # we open no channels, so there is nothing to acknowledge
        if len(payload) < _OPEN_MESSAGE.size or number in self._data_channels:
            self.end("malformed data channel request")
            return
        if len(self._data_channels) >= MAX_CHANNELS:
            self.end("too many data channels")
            return
        _, kind, _, reliability, labelLength, protocolLength = _OPEN_MESSAGE.unpack_from(payload)
        end = _OPEN_MESSAGE.size + labelLength
        label = payload[_OPEN_MESSAGE.size : end].decode("utf-8", "replace")
        request = ChannelRequest(
            label,
            payload[end : end + protocolLength].decode("utf-8", "replace"),
            not kind & 0x80,
            reliability if kind & 3 == 1 else None,
            reliability if kind & 3 == 2 else None,
        )
        receiver = self._owner.channelRequested(request)
        abandons = request.maxRetransmits == 0 and self._remote_partial_reliability
        stream = SendStream(number, ordered=request.ordered, reliable=not abandons)
        channel = DataChannel(self, number, label, stream, receiver)
        self._data_channels[number] = channel
        if receiver is None:
            self._data_channel_close(channel)
            return
        # It goes in order and until it arrives, whatever the channel is (RFC 8832 section 6).
        control = stream
        if not request.ordered or abandons:
            control = SendStream(number, ordered=True, reliable=True)
        self.outbound.queue(control, DCEP, bytes([_ACK]))
        self.call(receiver.channelOpened, channel)

    # -- sending

    def _flushSoon(self) -> None:
        """
        Send at the end of this turn.
        """
        if self._flushing is None and not self._receiving:
            self._flushing = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """
        Send what may be sent now, and set the timers for the rest.
        """
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._ended:
            return
        inbound, outbound = self.inbound, self.outbound
        packets, self._packets = self._packets, []
        now = self._loop.time()
        if self.isEstablished:
            ready = outbound.isReady
            sack = b""
            if inbound.sackNeeded:
                if ready or inbound.sackNow or inbound.sackNeeded > 1:
                    sack = inbound.encodeSACK()
                elif self._acknowledging is None:
                    self._acknowledging = self._loop.call_later(SACK_DELAY, self._acknowledge)
            if ready or sack:
                prefix = self._prefix
                for chunks in outbound.chunksToSend(now, BURST, sack):
                    checksum = crc32c(prefix + _NO_CHECKSUM + chunks)
                    packets.append(prefix + _CHECKSUM.pack(checksum) + chunks)
                if outbound.isReady and len(packets) >= BURST:
                    self._flushing = self._loop.call_soon(self._flush)
        if packets:
            self._dtls.sendPackets(packets)
        self._rearm(outbound.nextTimeout())
        for channel in self._channels:
            if channel.receiver is not None:
                self.call(channel.receiver.channelDrained)
        if self._reconfig_queue and not self._reconfig_request:
            _drive(self._transmit_reconfig())

    @property
    def _prefix(self) -> bytes:
        return _PREFIX.pack(
            self._local_port, self._remote_port or 5000, self._remote_verification_tag
        )

    @property
    def _channels(self) -> list[DataChannel]:
        return list(self._data_channels.values())

    def _acknowledge(self) -> None:
        self._acknowledging = None
        if self.inbound.sackNeeded:
            self.inbound.sackNow = True
            self._flush()

    def _rearm(self, deadline: float | None) -> None:
        """
        Have the retransmission timer run. It is left alone where it fires too early, and finds
        out then; with every SACK a new one would cost more than that.
        """
        timer = self._retransmitting
        if deadline is None or (timer is not None and timer.when() <= deadline):
            return
        if timer is not None:
            timer.cancel()
        self._retransmitting = self._loop.call_at(deadline, self._timedOut)

    def _timedOut(self) -> None:
        self._retransmitting = None
        outbound = self.outbound
        outbound.handleTimeout(self._loop.time())
        if outbound.dead:
            self.end("the peer does not answer")
            return
        self._flush()

    # -- where aiortc calls

    @property
    def _last_received_tsn(self) -> int:
        return self.inbound.cumulative % _MODULO

    @_last_received_tsn.setter
    def _last_received_tsn(self, value: int | None) -> None:
        if value is not None:
            self.inbound.start(value + 1)

    async def _handle_data(self, data: bytes) -> None:
        self.packetsReceived([data])

    async def _send_chunk(self, chunk: Any) -> None:
        prefix = self._prefix
        data = bytes(chunk)
        checksum = crc32c(prefix + _NO_CHECKSUM + data)
        self._packets.append(prefix + _CHECKSUM.pack(checksum) + data)
        self._flushSoon()

    async def _abort(self) -> None:
        await super()._abort()
        self._flush()

    async def _data_channel_flush(self) -> None:
        self._flushSoon()

    def _data_channel_close(self, channel: Any) -> None:
        if channel.readyState in ("closing", "closed"):
            return
        channel._setReadyState("closing")
        self._reconfig_queue.append(channel.id)
        self._flushSoon()

    async def _transmit_reconfig(self) -> None:
        """
        Ask the peer to reset the streams of closed channels, once what waited was sent.
        """
        if not self.isEstablished or self._reconfig_request or not self._reconfig_queue:
            return
        streams = [
            number
            for number in self._reconfig_queue[: upstream.RECONFIG_MAX_STREAMS]
            if number not in self._data_channels
            or self.outbound.isIdle(self._data_channels[number].stream)
        ]
        if not streams:
            return
        self._reconfig_queue = [n for n in self._reconfig_queue if n not in streams]
        request = upstream.StreamResetOutgoingParam(
            request_sequence=self._reconfig_request_seq,
            response_sequence=self._reconfig_response_seq,
            last_tsn=(self.outbound.nextTSN - 1) % _MODULO,
            streams=streams,
        )
        self._reconfig_request = request
        self._reconfig_request_seq = (self._reconfig_request_seq + 1) % _MODULO
        self._reconfig_timer_start()
        await self._send_reconfig_param(request)

    async def _reset_deferred_streams(self) -> None:
        request = self._reconfig_deferred
        await super()._reset_deferred_streams()
        if request is not None and self._reconfig_deferred is None:
            for number in request.streams:
                self.inbound.resetStream(number)

    def _data_channel_closed(self, stream_id: int) -> None:
        if stream_id in self._data_channels:
            super()._data_channel_closed(stream_id)

    def _set_state(self, state: Any) -> None:
        super()._set_state(state)
        if state is _State.ESTABLISHED:
            self._owner.associationEstablished()
        if state is _State.CLOSED and not self._ended:
            self._ended = True
            for timer in (self._retransmitting, self._acknowledging, self._flushing):
                if timer is not None:
                    timer.cancel()
            self._retransmitting = self._acknowledging = self._flushing = None
            self._owner.associationEnded(self._endReason)


def _drive(coroutine: Coroutine[Any, Any, None]) -> None:
    """
    Run a coroutine that has nothing to wait for.
    """
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("a coroutine of aiortc waits for something")
