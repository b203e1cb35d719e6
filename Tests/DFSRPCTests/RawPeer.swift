import DFSTransport
import Foundation
import Glibc

/// A peer that sends what it likes over a plain socket, HTTP/2 or not.
struct RawPeer {
  private let socket: Int32
  private static let threads = BlockingThreads(count: 4, name: "raw-peer")

  /// What `body` does with a fresh connection, on a thread of its own.
  static func run<Result: Sendable>(
    port: Int, _ body: @escaping @Sendable (RawPeer) throws -> Result
  ) async throws -> Result {
    try await threads.run {
      let peer = try RawPeer(port: port)
      defer { close(peer.socket) }
      return try body(peer)
    }
  }

  private init(port: Int) throws {
    socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, size) }
    }
    guard result == 0 else { throw CocoaError(.fileReadUnknown) }
    var timeout = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
  }

  private init(accepted: Int32) {
    socket = accepted
    var timeout = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
  }

  /// Listens on a port of the kernel's choice and hands the first connection to `body`, on a thread of
  /// its own, while `client` runs with that port. Without a body nothing is ever accepted.
  static func serve<Result: Sendable>(
    _ body: (@Sendable (RawPeer) throws -> Void)?, client: @Sendable (Int) async throws -> Result
  ) async throws -> Result {
    let listener = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = bind(listener, $0, size)
        _ = getsockname(listener, $0, &size)
      }
    }
    listen(listener, 4)
    let port = Int(UInt16(bigEndian: address.sin_port))
    guard let body else { return try await client(port) }
    async let server: Void = threads.run {
      let socket = accept(listener, nil, nil)
      defer { close(socket) }
      try body(RawPeer(accepted: socket))
    }
    let result = try await client(port)
    try await server
    return result
  }

  /// Whether everything was taken; a server that has hung up takes no more.
  @discardableResult
  func send(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(socket, $0.baseAddress?.advanced(by: sent), bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }

  /// Everything the server sends until it hangs up; nothing when it had not after ten seconds.
  func receiveAll() -> [UInt8]? {
    var all: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = recv(socket, &chunk, chunk.count, 0)
      if count == 0 { return all }
      if count < 0 { return errno == EAGAIN ? nil : all }
      all += chunk.prefix(count)
    }
  }

  /// What is there now, waiting for at least one byte.
  func receiveSome() -> [UInt8] {
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    let count = recv(socket, &chunk, chunk.count, 0)
    return Array(chunk.prefix(max(0, count)))
  }

  /// Reads until `bytes` have come; false when the other end hangs up or falls silent before.
  func receives(_ bytes: [UInt8]) -> Bool {
    var tail: [UInt8] = []
    while !tail.contains(sequence: bytes) {
      let more = receiveSome()
      guard !more.isEmpty else { return false }
      tail = Array((tail + more).suffix(more.count + bytes.count))
    }
    return true
  }

  /// Ends with a reset instead of a proper close.
  func abort() {
    var linger = linger(l_onoff: 1, l_linger: 0)
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
  }
}

/// Frames written by hand.
enum RawFrame {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  static let settings = frame(type: 4, flags: 0, stream: 0, [])
  static let hello = preface + settings
  /// The PING of our keepalive, and its answer. The payload is a number, so its letters come in reverse.
  static let keepalivePing = frame(type: 6, flags: 0, stream: 0, Array("peek-sfd".utf8))
  static let keepalivePong = frame(type: 6, flags: 1, stream: 0, Array("peek-sfd".utf8))

  static func frame(type: UInt8, flags: UInt8, stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
    var frame: [UInt8] = []
    for shift in [16, 8, 0] { frame.append(UInt8(truncatingIfNeeded: payload.count >> shift)) }
    frame.append(type)
    frame.append(flags)
    for shift in [24, 16, 8, 0] { frame.append(UInt8(truncatingIfNeeded: stream >> UInt32(shift))) }
    return frame + payload
  }

  /// HPACK literals without indexing; names and values under 127 bytes.
  static func block(_ fields: [(String, String)]) -> [UInt8] {
    var block: [UInt8] = []
    for (name, value) in fields {
      block.append(0)
      block.append(UInt8(name.utf8.count))
      block += name.utf8
      block.append(UInt8(value.utf8.count))
      block += value.utf8
    }
    return block
  }

  static func head(path: String = "/test.Echo/Unary", _ extra: [(String, String)] = []) -> [UInt8] {
    let usual = [
      (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers"),
      ("content-type", "application/grpc"),
    ]
    return block(usual + extra)
  }

  static func request(stream: UInt32, path: String = "/test.Echo/Unary", isEnd: Bool = false) -> [UInt8] {
    frame(type: 1, flags: isEnd ? 5 : 4, stream: stream, head(path: path))
  }

  static func data(stream: UInt32, _ payload: [UInt8], isEnd: Bool = false) -> [UInt8] {
    frame(type: 0, flags: isEnd ? 1 : 0, stream: stream, payload)
  }

  static func reset(stream: UInt32) -> [UInt8] { frame(type: 3, flags: 0, stream: stream, [0, 0, 0, 8]) }
}
