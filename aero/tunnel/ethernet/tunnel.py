# -*- test-case-name: aero.tunnel.ethernet.test.test_tunnel -*-
"""
One Ethernet tunnel: the messages of a guest on one side, a LAN of its own on the other.

Theory of operation
===================

A carrier (a WebSocket, a data channel) hands over the messages of one read at a time. They are
handled together: quotas are charged, answers gathered, and the frames given to the LAN at once.
No more than L{BATCH} of them are handled at once, and not more than the client has time for
(L{aero.net.turns}); the rest waits, and the carrier does not read meanwhile. Messages without
effect are counted (L{aero.net.allowance}).

B{Back-pressure.} When the carrier is full the LAN makes no frames, for as long as that takes: a
guest that reads slowly is slow, not wrong. What cannot be held back is what the guest itself asks
for: the answers to its PINGs. They wait, up to C{AERO_L2_WS_SEND_BUFFER} of them. One more, and
the guest is not read any further; when the carrier takes nothing for L{STALL_SECONDS} after that,
the tunnel ends with error 9 (l2.md section 10.3).

B{The end} comes once, whoever decides it: the LAN is stopped, the capture closed, and nothing is
sent after the ERROR and the close. Targets get the bytes that the LAN has acknowledged to the
guest, except where the policy ended the session.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Callable, Protocol, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from aero.errors import DecodeError
from aero.metrics import CounterRow
from aero.metrics import l2 as rows
from aero.net.allowance import NO_EFFECT
from aero.net.commons import Commons
from aero.policy.quota import addressKey
from aero.settings.l2 import L2Settings
from aero.wire import l2tunnel as wire
from aero.wire.pcapng import INBOUND, OUTBOUND

from ..keepalive import IdleTimer, Pinger
from .capture import Captures
from .counts import TunnelCounts
from .ends import LANPort, TunnelPeer, TunnelTransport
from .quota import MessageQuota
from .stall import STALL_SECONDS as STALL_SECONDS
from .stall import StallTimer

#: Messages of one guest that are handled in one turn.
BATCH = 256
#: Bytes of answers that are given to the carrier at once, so that it can say it is full.
ANSWER_BYTES = 65_536
#: Bytes that may wait to be handled where a carrier cannot stop reading.
MAX_BACKLOG_BYTES = 1_048_576
#: Bytes of frames that a LAN may send although it was told to wait.
MAX_BEHIND_BYTES = 262_144

#: Close codes of RFC 6455; a data channel just closes.
GOING_AWAY, POLICY_VIOLATION, INTERNAL_ERROR = 1001, 1008, 1011

#: Why messages wait: their turn is over, an answer has no place, or the LAN has enough.
_TURN, _STALLED, _LAN = 1, 2, 4

_FRAME_START = wire.FRAME_HEADER[:3]


class TunnelOwner(Protocol):
    """
    The parts that all tunnels of a process share, as one tunnel sees them;
    L{aero.tunnel.ethernet.tunnels.L2Tunnels}.
    """

    settings: L2Settings
    clock: IReactorTime
    captures: Captures
    commons: Commons
    counts: TunnelCounts

    def nextNumber(self) -> int:
        """
        The number of a new tunnel.
        """

    def buildLAN(self, tunnel: L2Tunnel) -> LANPort:
        """
        Make the LAN of a tunnel.
        """

    def opened(self, tunnel: L2Tunnel) -> None:
        """
        A tunnel began.
        """

    def closed(self, tunnel: L2Tunnel, reason: str) -> None:
        """
        A tunnel ended.
        """


class L2Tunnel:
    """
    One guest.

    @ivar number: Counts the tunnels of the process, from 1.
    @ivar peer: Who it is.
    @ivar maxFrame: The longest frame that goes to the guest.
    @ivar isOver: Whether it ended.
    """

    _log = Logger()

    def __init__(self, transport: TunnelTransport, tunnels: TunnelOwner, peer: TunnelPeer) -> None:
        """
        @param tunnels: What all tunnels of the process share.
        """
        settings = tunnels.settings
        self.number = tunnels.nextNumber()
        self.peer = peer
        self.maxFrame = settings.maxFramePayload
        self.isOver = False
        self._maxControl = settings.maxControlPayload
        self._maxWaiting = settings.sendBuffer
        self._transport = transport
        self._tunnels = tunnels
        self._counts = tunnels.counts
        self._clock = tunnels.clock
        self._quota = MessageQuota(settings.maxBytes, settings.maxFPS, self._clock.seconds())
        self._lan: LANPort | None = None
        self._capture = tunnels.captures.begin(self.number)
        self._idle = IdleTimer(self._clock, settings.idleTimeout, self._idleExpired)
        self._pinger = Pinger(self._clock, settings.pingInterval, self._sendPing, self._counts.rtt)
        self._paused = False  # the carrier is full
        self._behind = 0  # bytes of frames given to it since
        self._waiting: list[bytes] = []  # answers that wait for it
        self._stall = StallTimer(self._clock, transport.unsentBytes, self._stalled)
        self._then: Callable[[], object] | None = None  # what follows when all is handled
        self._holds = 0  # why messages wait
        self._backlog: deque[bytes] = deque()  # and which
        self._backlogBytes = 0
        self._key = addressKey(peer.address)
        self._memory = tunnels.commons.waiting.share(self._key)
        self._turn = tunnels.commons.turns.turn(self._key)
        self._mayGoOn = partial(tunnels.commons.allowance.take, self._key, "l2")

    def start(self) -> None:
        """
        The carrier is open.
        """
        self._tunnels.opened(self)
        try:
            self._lan = self._tunnels.buildLAN(self)
        except Exception:  # noqa: BLE001 - one guest without a LAN, not a process without guests
            self._failed(Failure())
            return
        self._idle.start()
        self._pinger.start()

    # -- from the carrier

    def messagesReceived(self, messages: Sequence[bytes]) -> None:
        """
        Take the messages of one read.
        """
        if self.isOver:
            return
        self._idle.heard()
        if not self._holds and self._turn.left() <= 0.0:
            self._hold(_TURN)
        if self._holds:
            self._keep(messages)
        else:
            self._turn.run(partial(self._handle, messages), 1)

    def otherReceived(self, size: int, answer: int = 0) -> bool:
        """
        Take what means nothing in this protocol but counts: text, the carrier's own pings.

        @param size: Bytes of payload.
        @param answer: Bytes that the carrier is going to answer with.
        @return: Whether the tunnel goes on.
        """
        if self.isOver:
            return False
        self._idle.heard()
        over = self._quota.received(size, self._clock.seconds()) or self._quota.sent(answer)
        if over:
            self._overQuota(over)
        elif not self._mayGoOn():
            self._withoutEffect()
        return not self.isOver

    def violated(self, tooLong: bool, why: str) -> None:
        """
        The guest broke the rules of the carrier, which closes.

        @param tooLong: Whether with a message that is longer than any may be.
        """
        if tooLong:
            self._counts.framesDropped.inc()
        self._log.debug("dropping invalid l2 message: {why}", why=why, tunnel_id=self.number)
        self._end("too_long" if tooLong else "protocol")

    def pauseProducing(self) -> None:
        """
        The carrier is full.
        """
        if not self._paused and not self.isOver:
            self._paused = True
            self._behind = 0
            self._counts.pauses.inc()
            if self._lan is not None:
                self._lan.pauseProducing()

    def resumeProducing(self) -> None:
        """
        The carrier is empty again.
        """
        if not self._paused or self.isOver:
            return
        self._paused = False
        self._stall.stop()
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._transport.sendMessages(waiting)  # which may fill it up at once
        self._release(_STALLED)
        if self._lan is not None and not self._paused:
            self._callLAN(self._lan.resumeProducing)

    def finish(self, then: Callable[[], object]) -> None:
        """
        Nothing more comes from the guest.

        @param then: Called once everything that came before was handled; not at all if the tunnel
            ends meanwhile.
        """
        if self._holds:
            self._then = then
        else:
            then()

    def connectionLost(self, reason: str = "lost") -> None:
        """
        The carrier is gone, or the guest closed it.

        @param reason: C{client} or C{lost}, for the metrics.
        """
        self._end(reason)

    def drain(self, reason: str = "shutting down") -> None:
        """
        The process stops.
        """
        self._close("shutdown", GOING_AWAY, reason)

    def revoke(self, reason: str = "session ended") -> None:
        """
        The policy does not let the guest go on: its connections are reset.
        """
        self._close("session", POLICY_VIOLATION, reason, deliver=False)

    # -- from the LAN (FramePort)

    def sendFrames(self, frames: list[bytes]) -> None:
        """
        Send frames to the guest.
        """
        if self.isOver:
            return
        if max(map(len, frames), default=0) > self.maxFrame:
            short = [frame for frame in frames if len(frame) <= self.maxFrame]
            self._counts.framesDropped.inc(len(frames) - len(short))
            frames = short
        if self._paused:
            if self._behind > MAX_BEHIND_BYTES:
                self._counts.framesDropped.inc(len(frames))
                return
            self._behind += sum(map(len, frames))
        allowed = self._quota.sentFrames(frames)
        if allowed:
            if self._capture is not None:
                self._capture.record(frames[:allowed], OUTBOUND)
            header = wire.FRAME_HEADER
            messages = [header + frame for frame in frames[:allowed]]
            self._transport.sendMessages(messages)
            self._counts.framesTx.inc(allowed)
            self._counts.bytesTx.inc(sum(map(len, messages)) - 4 * allowed)
        if allowed < len(frames):
            self._overQuota(rows.CLOSED_QUOTA_BYTES)

    def pauseFrames(self) -> None:
        """
        The LAN has more of the guest's frames than it can handle in one turn.
        """
        self._hold(_LAN)

    def resumeFrames(self) -> None:
        """
        It has handled them.
        """
        self._release(_LAN)

    # -- handling messages

    def _handle(self, messages: Sequence[bytes]) -> bool:
        """
        Handle what one turn allows, and keep the rest.

        @return: False: what is left waits for a turn of its own.
        """
        frames: list[bytes] = []
        answers: list[bytes] = []
        size = 0
        room = self._maxWaiting - len(self._waiting) if self._paused else BATCH
        maxSize = self.maxFrame + wire.HEADER_BYTES
        metered, now = self._quota.isMetered, self._clock.seconds()
        over: CounterRow | None = None
        wrong = ""
        done = 0
        for message in messages[:BATCH]:
            done += 1
            if metered:
                over = self._quota.received(len(message), now)
                if over:
                    break
            if message[:3] == _FRAME_START and 4 <= len(message) <= maxSize:
                frames.append(message[4:])
                continue
            wrong, answer = self._control(message)
            if not self._mayGoOn():
                wrong = NO_EFFECT
            if wrong:
                break
            if answer:
                over = self._quota.sent(len(answer)) if metered else None
                if over:
                    break
                answers.append(answer)
                size += len(answer)
                if size >= ANSWER_BYTES and not self._paused:
                    self._answer(answers)
                    answers, size = [], 0
                    if self._paused:
                        room = self._maxWaiting
                if len(answers) > room:
                    self._hold(_STALLED)
                    break
        if done < len(messages) and not over and not wrong:
            self._hold(_TURN)
            self._keep(messages[done:])
        if answers:
            self._answer(answers)
        if frames:
            self._counts.framesRx.inc(len(frames))
            self._counts.bytesRx.inc(sum(map(len, frames)))
            if self._capture is not None:
                self._capture.record(frames, INBOUND)
            if self._lan is not None:
                self._callLAN(self._lan.framesReceived, frames)
        if wrong is NO_EFFECT:
            self._withoutEffect()
        elif wrong:
            self._counts.framesDropped.inc()
            self._log.debug("dropping invalid l2 message: {why}", why=wrong, tunnel_id=self.number)
            self._close("protocol", POLICY_VIOLATION, wrong, wire.PROTOCOL_ERROR)
        elif over:
            self._overQuota(over)
        return False

    def _control(self, message: bytes) -> tuple[str, bytes]:
        """
        Handle a message that is no frame.

        @return: What is wrong with it, if anything, and the answer to it, if there is one.
        """
        try:
            kind, payload = wire.decode(message, self.maxFrame, self._maxControl)
        except DecodeError as error:
            return str(error), b""
        if kind == wire.PING:
            return "", wire.PONG_HEADER + payload
        if kind == wire.PONG:
            self._pinger.answered(payload)
        return "", b""

    def _answer(self, answers: list[bytes]) -> None:
        if not self._paused:
            self._transport.sendMessages(answers)
            return
        self._waiting += answers
        if self._holds & _STALLED:
            self._stall.start()

    def _stalled(self) -> None:
        if self.isOver:
            return
        self._counts.count(rows.CLOSED_BACKPRESSURE)
        text = "outbound websocket backpressure"
        self._close("backpressure", POLICY_VIOLATION, text, wire.BACKPRESSURE)

    # -- messages that wait

    def _keep(self, messages: Sequence[bytes]) -> None:
        self._backlog.extend(messages)
        self._backlogBytes += sum(map(len, messages))
        self._memory.hold(self._backlogBytes)
        if self._backlogBytes > MAX_BACKLOG_BYTES + self.maxFrame + self._maxControl:
            self._stalled()  # the carrier did not stop reading

    def _hold(self, why: int) -> None:
        if self.isOver:
            return
        if not self._holds:
            self._transport.pauseReading()
        self._holds |= why
        if why == _TURN:
            self._turn.wait(self._turnCame)

    def _release(self, why: int) -> None:
        """
        Go on with what waits, unless it waits for something else as well.
        """
        if self.isOver or not self._holds & why:
            return
        self._holds &= ~why
        if self._holds:
            return
        if self._backlog:
            # Not from within what released it: one turn, one batch.
            self._holds |= _TURN
            self._turn.wait(self._turnCame)
        elif self._then is not None:
            then, self._then = self._then, None
            then()
        else:
            self._transport.resumeReading()

    def _turnCame(self) -> None:
        if self._holds & ~_TURN:
            self._holds &= ~_TURN  # whoever holds it now lets it go on
            return
        take = min(BATCH, len(self._backlog))
        batch = [self._backlog.popleft() for _ in range(take)]
        self._backlogBytes -= sum(map(len, batch))
        self._memory.resize(self._backlogBytes)
        self._turn.run(partial(self._handleKept, batch), 1)
        if self.isOver:
            return
        if self._backlog:
            self._turn.wait(self._turnCame)
        elif not self._backlog:
            self._release(_TURN)

    def _handleKept(self, batch: list[bytes]) -> bool:
        """
        Handle messages that waited; those that still cannot be go back in front of the others.
        """
        behind, self._backlog = self._backlog, deque()
        self._handle(batch)
        self._backlog.extend(behind)
        return False

    # -- timers

    def _sendPing(self, payload: bytes) -> bool:
        """
        Measure the round trip, unless there is a queue that would be measured instead.
        """
        if self.isOver or self._paused:
            return False
        over = self._quota.sent(wire.HEADER_BYTES + len(payload))
        if over:
            self._overQuota(over)
            return False
        self._transport.sendMessages([wire.PING_HEADER + payload])
        return True

    def _idleExpired(self) -> None:
        self._counts.count(rows.IDLE_TIMEOUTS)
        self._log.warn(
            "closing idle session (tunnel {tunnel_id}, {reason})",
            tunnel_id=self.number,
            reason="idle_timeout",
        )
        self._close("idle", POLICY_VIOLATION, "idle timeout")

    # -- the end

    def _overQuota(self, row: CounterRow) -> None:
        self._counts.count(row)
        if row is rows.CLOSED_QUOTA_FPS:
            text, label, code = "frame rate quota exceeded", "quota_fps", wire.QUOTA_FRAMES
        else:
            text, label, code = "byte quota exceeded", "quota_bytes", wire.QUOTA_BYTES
        self._close(label, POLICY_VIOLATION, text, code)

    def _withoutEffect(self) -> None:
        self._close("no_effect", POLICY_VIOLATION, NO_EFFECT, wire.QUOTA_FRAMES)

    def _close(
        self, label: str, code: int, text: str, error: int = 0, deliver: bool = True
    ) -> None:
        """
        End the tunnel and say why; what waits is not sent any more.
        """
        if self.isOver:
            return
        self._end(label, deliver)
        if error:
            self._transport.sendMessages([wire.encodeError(error, text, self._maxControl)])
        self._transport.closeTunnel(code, text)

    def _callLAN(self, method: Callable[..., object], *arguments: object) -> None:
        """
        Call the LAN; whatever it raises is the end of this tunnel and of no other.
        """
        try:
            method(*arguments)
        except Exception:  # noqa: BLE001
            self._failed(Failure())

    def _failed(self, failure: Failure) -> None:
        self._log.failure(
            "The LAN of tunnel {tunnel_id} failed", failure=failure, tunnel_id=self.number
        )
        self._close("error", INTERNAL_ERROR, "internal error")

    def _end(self, label: str, deliver: bool = True) -> None:
        if self.isOver:
            return
        self.isOver = True
        self._idle.stop()
        self._pinger.stop()
        self._stall.stop()
        self._turn.cancel()
        self._then = None
        self._waiting.clear()
        self._backlog.clear()
        self._memory.close()
        lan, self._lan = self._lan, None
        if lan is not None:
            try:
                lan.stop(label, deliver)
            except Exception:  # noqa: BLE001
                self._log.failure(
                    "The LAN of tunnel {tunnel_id} did not stop", tunnel_id=self.number
                )
        if self._capture is not None:
            self._capture.end()
        self._tunnels.closed(self, label)
