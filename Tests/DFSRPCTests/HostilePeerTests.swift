import DFSCore
import DFSRPC
import DFSTransport
import Foundation
import NIOCore
import TestSupport
import Testing

/// What a server does with peers that are broken or mean: it refuses, stays up and serves the next caller.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct `A hostile peer` {
  private func attack(
    server configure: @escaping (inout RPCServer.Configuration) -> Void = { _ in },
    _ body: @escaping @Sendable (RawPeer) throws -> Void
  ) async throws {
    try await Loopback.run(server: configure) { loopback in
      try await RawPeer.run(port: loopback.endpoint.port, body)
      let response = try await loopback.connection.call(
        Echo.unary, .pattern(100), options: Loopback.options())
      #expect(response == .pattern(100))
      try await isForgotten(loopback)
    }
  }

  /// Only our own connection stays.
  private func isForgotten(_ loopback: Loopback) async throws {
    while loopback.server.connectionCount > 1 { try await Task.sleep(for: .milliseconds(2)) }
  }

  @Test func `garbage`() async throws {
    let seed = SeededGenerator().seed
    print("seed \(seed)")
    try await Loopback.run { loopback in
      for round in 0..<40 {
        try await RawPeer.run(port: loopback.endpoint.port) { peer in
          var random = SeededGenerator(seed: seed &+ UInt64(round))
          var bytes = round % 2 == 0 ? [] : RawFrame.hello
          for _ in 0..<Int.random(in: 1...20_000, using: &random) {
            bytes.append(.random(in: 0...255, using: &random))
          }
          peer.send(bytes)
          if round % 4 == 0 { peer.abort() }
        }
        let response = try await loopback.connection.call(
          Echo.unary, .pattern(10), options: Loopback.options())
        #expect(response == .pattern(10))
      }
      try await isForgotten(loopback)
    }
  }

  @Test func `valid frames with random bytes changed, or cut anywhere`() async throws {
    let seed = SeededGenerator().seed
    print("seed \(seed)")
    let message = [UInt8]([0, 0, 0, 0, 5, 1, 2, 3, 4, 5])
    let frames: [[UInt8]] = [
      RawFrame.hello, RawFrame.request(stream: 1), RawFrame.data(stream: 1, message, isEnd: true),
      RawFrame.request(stream: 3, path: "/test.Echo/Chat"), RawFrame.data(stream: 3, message + message),
      RawFrame.frame(type: 8, flags: 0, stream: 3, [0, 0, 1, 0]), RawFrame.reset(stream: 3),
      RawFrame.frame(type: 6, flags: 0, stream: 0, Array("01234567".utf8)),
    ]
    let valid = Array(frames.joined())
    try await Loopback.run { loopback in
      for round in 0..<150 {
        try await RawPeer.run(port: loopback.endpoint.port) { peer in
          var random = SeededGenerator(seed: seed &+ UInt64(round))
          var bytes = valid
          for _ in 0..<Int.random(in: 0...4, using: &random) {
            bytes[Int.random(in: 24..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
          }
          peer.send(Array(bytes.prefix(Int.random(in: 1...bytes.count, using: &random))))
          if round % 3 == 0 { peer.abort() }
        }
      }
      let response = try await loopback.connection.call(Echo.unary, .pattern(10), options: Loopback.options())
      #expect(response == .pattern(10))
      try await isForgotten(loopback)
    }
  }

  @Test func `frames of a wrong length`() async throws {
    try await attack { peer in
      peer.send(RawFrame.preface + RawFrame.frame(type: 4, flags: 0, stream: 0, [1, 2, 3, 4, 5]))
      #expect(peer.receiveAll() != nil)
    }
    try await attack { peer in
      // Announces 16 MiB.
      peer.send(RawFrame.hello + [255, 255, 255, 0, 0, 0, 0, 0, 1])
      #expect(peer.receiveAll() != nil)
    }
  }

  @Test func `a message that claims four gigabytes`() async throws {
    try await attack { peer in
      peer.send(
        RawFrame.hello + RawFrame.request(stream: 1) + RawFrame.data(stream: 1, [0, 255, 255, 255, 255, 1]))
      // Trailers with the status, then RST_STREAM with NO_ERROR; the connection goes on.
      #expect(peer.receives([0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0]))
    }
  }

  @Test func `a rapid reset`() async throws {
    try await attack(server: { $0.http2.resetBurst = 200 }) { peer in
      peer.send(RawFrame.hello)
      var id: UInt32 = 1
      var isTaken = true
      while isTaken, id < 100_000 {
        isTaken = peer.send(RawFrame.request(stream: id) + RawFrame.reset(stream: id))
        id += 2
      }
      #expect(peer.receiveAll() != nil)
    }
  }

  @Test func `a header block without end`() async throws {
    try await attack { peer in
      peer.send(RawFrame.hello + RawFrame.frame(type: 1, flags: 0, stream: 1, RawFrame.head()))
      for _ in 0..<10_000 {
        let more = RawFrame.frame(type: 9, flags: 0, stream: 1, RawFrame.block([("x", "y")]))
        guard peer.send(more) else { break }
      }
      #expect(peer.receiveAll() != nil)
    }
  }

  @Test func `a header list that is too large`() async throws {
    try await attack { peer in
      let many = (0..<300).map { ("name-\($0)", String(repeating: "v", count: 120)) }
      peer.send(RawFrame.hello)
      peer.send(RawFrame.frame(type: 1, flags: 0, stream: 1, Array(RawFrame.head(many).prefix(16_000))))
      peer.send(
        RawFrame.frame(
          type: 9, flags: 0, stream: 1, Array(RawFrame.head(many).dropFirst(16_000).prefix(16_000))))
      peer.send(RawFrame.frame(type: 9, flags: 4, stream: 1, Array(RawFrame.head(many).dropFirst(32_000))))
      // RST_STREAM with ENHANCE_YOUR_CALM, and the connection goes on.
      #expect(peer.receives([0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0x0B]))
    }
  }

  @Test(arguments: ["settings", "ping", "priority", "empty data"])
  func `a flood`(of kind: String) async throws {
    try await attack { peer in
      peer.send(RawFrame.hello + RawFrame.request(stream: 1, path: "/test.Echo/Chat"))
      let one: [UInt8] =
        switch kind {
        case "settings": RawFrame.settings
        case "ping": RawFrame.frame(type: 6, flags: 0, stream: 0, Array("01234567".utf8))
        case "priority": RawFrame.frame(type: 2, flags: 0, stream: 1, [0, 0, 0, 0, 1])
        default: RawFrame.data(stream: 1, [])
        }
      let many = Array(repeatElement(one, count: 100).joined())
      for _ in 0..<1000 {
        guard peer.send(many) else { break }
      }
      #expect(peer.receiveAll() != nil)
    }
  }

  @Test func `more streams than are allowed`() async throws {
    try await attack(server: { $0.http2.maxConcurrentStreams = 10 }) { peer in
      peer.send(RawFrame.hello)
      for number in 0..<100 as Range<UInt32> {
        peer.send(RawFrame.request(stream: number * 2 + 1, path: "/test.Echo/Hang"))
      }
      // REFUSED_STREAM for the eleventh.
      #expect(peer.receives([0, 0, 4, 3, 0, 0, 0, 0, 21, 0, 0, 0, 7]))
    }
  }

  @Test func `one that says nothing, and one that never reads`() async throws {
    try await attack(server: { $0.http2.handshakeTimeout = .milliseconds(100) }) { peer in
      #expect(peer.receiveAll() != nil)
    }
    try await attack { peer in
      peer.send(RawFrame.hello)
      let message: [UInt8] = [0, 0, 3, 0, 0] + [UInt8](repeating: 1, count: 3 << 16)
      for number in 0..<50 as Range<UInt32> {
        peer.send(RawFrame.request(stream: number * 2 + 1))
        for chunk in stride(from: 0, to: message.count, by: 16_000) {
          let isLast = chunk + 16_000 >= message.count
          guard
            peer.send(
              RawFrame.data(
                stream: number * 2 + 1, Array(message[chunk..<min(message.count, chunk + 16_000)]),
                isEnd: isLast))
          else { return }
        }
      }
    }
  }

  @Test func `too many connections`() async throws {
    try await Loopback.run(server: { $0.maxConnections = 3 }) { loopback in
      try await RawPeer.run(port: loopback.endpoint.port) { first in
        first.send(RawFrame.hello)
        _ = first.receiveSome()
      }
      try await isForgotten(loopback)
      let response = try await loopback.connection.call(Echo.unary, .pattern(1), options: Loopback.options())
      #expect(response == .pattern(1))
    }
  }

  @Test func `curl and other strangers get a sane answer`() async throws {
    try await Loopback.run { loopback in
      let url = "http://127.0.0.1:\(loopback.endpoint.port)"
      let get = try await run("/usr/bin/curl", ["-s", "-i", "--http2-prior-knowledge", "-m", "5", url + "/"])
      #expect(get.contains("405") && get.contains("This is a gRPC server"))
      let post = try await run(
        "/usr/bin/curl",
        ["-s", "-i", "--http2-prior-knowledge", "-m", "5", "-d", "x=1", url + "/test.Echo/Unary"])
      #expect(post.contains("415") && post.contains("content type"))
      let unknown = try await run(
        "/usr/bin/curl",
        [
          "-s", "-i", "--http2-prior-knowledge", "-m", "5", "-H", "content-type: application/grpc", "-d", "",
          url + "/no",
        ])
      #expect(unknown.contains("grpc-status: 12"))
      let old = try await run("/usr/bin/curl", ["-s", "-i", "--http1.1", "--http0.9", "-m", "5", url + "/"])
      #expect(!old.contains("200 OK"))
    }
  }

  @Test func `h2load finds every request answered`() async throws {
    try await Loopback.run { loopback in
      let directory = try TemporaryDirectory()
      let body = directory.path + "/body"
      try Data([0, 0, 0, 0, 3, 1, 2, 3]).write(to: URL(fileURLWithPath: body))
      let output = try await run(
        "/usr/bin/h2load",
        [
          "-n", "3000", "-c", "4", "-m", "16", "-d", body, "-H", "te: trailers", "-H",
          "content-type: application/grpc",
          "http://127.0.0.1:\(loopback.endpoint.port)/test.Echo/Unary",
        ])
      #expect(output.contains("3000 succeeded, 0 failed, 0 errored, 0 timeout"))
    }
  }

  private func run(_ path: String, _ arguments: [String]) async throws -> String {
    try await BlockingThreads(count: 1, name: "run").run {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: path)
      process.arguments = arguments
      let pipe = Pipe()
      process.standardOutput = pipe
      process.standardError = FileHandle.nullDevice
      try process.run()
      let output = pipe.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      return String(decoding: output, as: UTF8.self)
    }
  }
}

extension [UInt8] {
  /// By Foundation, which searches fast in debug builds too.
  func contains(sequence: [UInt8]) -> Bool { Data(self).range(of: Data(sequence)) != nil }
}
