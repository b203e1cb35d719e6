/// The clock side of a connection: given the time, says what to do. Times are durations since any one moment.
struct ConnectionTimers {
  enum Action: Equatable {
    /// The peer did not finish its handshake in time.
    case giveUpHandshake
    case sendPing
    /// The peer did not answer a PING in time.
    case giveUpPeer
    /// No stream for too long.
    case drainIdle
    /// The connection is old.
    case drainAged
    /// The time for a drain is up.
    case close
  }

  private let handshakeTimeout: Duration
  private let keepaliveInterval: Duration?
  private let keepaliveTimeout: Duration
  private let idleTimeout: Duration?
  private let maxAge: Duration?
  /// A client pings only while it has calls: servers of other make treat more as an attack.
  private let pingsWhenIdle: Bool

  private var start: Duration
  private var lastHeard: Duration
  private var lastBusy: Duration
  private var pingSent: Duration?
  private(set) var isReady = false
  private(set) var isDraining = false
  private var drainEnd: Duration?

  init(_ configuration: HTTP2Configuration, side: HTTP2Session.Side, now: Duration) {
    handshakeTimeout = configuration.handshakeTimeout
    keepaliveInterval = configuration.keepaliveInterval
    keepaliveTimeout = configuration.keepaliveTimeout
    idleTimeout = configuration.idleTimeout
    maxAge = configuration.maxConnectionAge
    pingsWhenIdle = side == .server
    start = now
    lastHeard = now
    lastBusy = now
  }

  /// Any byte from the peer shows that it lives.
  mutating func heard(now: Duration) {
    lastHeard = now
    pingSent = nil
  }

  mutating func becameReady(now: Duration) {
    isReady = true
    lastBusy = now
  }

  mutating func wasBusy(now: Duration) { lastBusy = now }

  mutating func beginDrain(until end: Duration?) {
    isDraining = true
    drainEnd = end ?? drainEnd
  }

  /// What is due at `now`, and when to ask again.
  mutating func check(now: Duration, hasStreams: Bool) -> (action: Action?, next: Duration) {
    if hasStreams { lastBusy = now }
    var next = now + .seconds(3600)
    if !isReady {
      if now >= start + handshakeTimeout { return (.giveUpHandshake, next) }
      next = min(next, start + handshakeTimeout)
    }
    if let drainEnd {
      if now >= drainEnd { return (.close, next) }
      next = min(next, drainEnd)
    }
    if let pingSent {
      if now >= pingSent + keepaliveTimeout { return (.giveUpPeer, next) }
      next = min(next, pingSent + keepaliveTimeout)
    } else if let keepaliveInterval, isReady, hasStreams || pingsWhenIdle {
      if now >= lastHeard + keepaliveInterval {
        self.pingSent = now
        return (.sendPing, min(next, now + keepaliveTimeout))
      }
      next = min(next, lastHeard + keepaliveInterval)
    }
    guard isReady, !isDraining else { return (nil, next) }
    if let maxAge {
      if now >= start + maxAge { return (.drainAged, next) }
      next = min(next, start + maxAge)
    }
    if let idleTimeout {
      if now >= lastBusy + idleTimeout { return (.drainIdle, next) }
      next = min(next, lastBusy + idleTimeout)
    }
    return (nil, next)
  }
}
