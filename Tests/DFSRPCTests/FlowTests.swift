import DFSCore
import Foundation
import NIOCore
import TestSupport
import Testing

@testable import DFSRPC
@testable import DFSTransport

@Suite(.timeLimit(.minutes(1)))
struct `Bytes in flight` {
  @Test func `a message over the limit is refused, in both directions`() async throws {
    try await Loopback.run(server: { $0.maxRequest = .kib(64) }) { loopback in
      let request = await #expect(throws: DFSError.self) {
        try await loopback.connection.call(Echo.unary, .pattern(100_000), options: Loopback.options())
      }
      #expect(request?.code == .exhausted)
      let response = await #expect(throws: DFSError.self) {
        try await loopback.connection.call(
          Echo.unary, .pattern(50_000), options: Loopback.options { $0.maxResponse = .kib(16) })
      }
      #expect(response?.code == .exhausted)
      let small = try await loopback.connection.call(Echo.unary, .pattern(9), options: Loopback.options())
      #expect(small == .pattern(9))
    }
  }

  @Test(arguments: [MessageEncoding.gzip, .deflate])
  func `compressed messages come back`(encoding: MessageEncoding) async throws {
    try await Loopback.run { loopback in
      for size in [0, 100, 5000, 1_000_000] {
        let response = try await loopback.connection.call(
          Echo.unary, .pattern(size), options: Loopback.options { $0.compression = encoding })
        #expect(response == .pattern(size))
      }
      try await loopback.connection.call(Echo.chat, options: Loopback.options { $0.compression = encoding }) {
        writer, reader in
        for size in [10, 4000, 200_000] {
          try await writer.write(.pattern(size))
          #expect(try await reader.next() == .pattern(size))
        }
      }
    }
  }

  @Test func `messages larger than every window pass`() async throws {
    try await Loopback.run(
      server: {
        $0.http2.streamWindow = .kib(64)
        $0.http2.connectionWindow = .kib(64)
        $0.maxRequest = .mib(16)
      },
      client: {
        $0.http2.streamWindow = .kib(64)
        $0.http2.connectionWindow = .kib(64)
      }
    ) { loopback in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<4 {
          group.addTask {
            let request = ByteBuffer.pattern(8 << 20, seed: number)
            let response = try await loopback.connection.call(
              Echo.unary, request, options: Loopback.options())
            #expect(response == request)
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test func `a reader that stops stops its sender within the windows`() async throws {
    let gate = Gate()
    var router = Echo.router()
    let slow = ClientStreamingMethod(
      path: "/test.Echo/Slow", retry: .never, request: Echo.bytes, response: Echo.bytes)
    router.handle(slow) { reader, _ in
      await gate.wait()
      var count = 0
      while let message = try await reader.next() { count += message.readableBytes }
      return ByteBuffer(string: String(count))
    }
    let tally = Tally()
    try await Loopback.run(router: router, server: { $0.http2.streamWindow = .mib(1) }) { loopback in
      let message = ByteBuffer.pattern(256 << 10)
      let call = Task {
        try await loopback.connection.call(slow, options: Loopback.options()) { writer in
          for _ in 0..<400 {
            try await writer.write(message)
            tally.add("written")
          }
        }
      }
      // The sender has stopped when it gets no further for a while.
      var last = -1
      while last != tally["written"] {
        last = tally["written"]
        try await Task.sleep(for: .milliseconds(200))
      }
      // Window 1 MiB, queue 2 MiB, and a message on either side.
      #expect(last * message.readableBytes <= 4 << 20)
      #expect(last > 0)
      // Others on the connection go on meanwhile.
      for _ in 0..<10 {
        let request = ByteBuffer.pattern(500_000)
        let response = try await loopback.connection.call(Echo.unary, request, options: Loopback.options())
        #expect(response == request)
      }
      gate.open()
      #expect(String(buffer: try await call.value) == String(400 * message.readableBytes))
    }
  }

  @Test func `streams that nobody reads do not lock out the one that is read`() async throws {
    let loopbackWindow = ByteCount.kib(256)
    try await Loopback.run(client: {
      $0.http2.streamWindow = loopbackWindow
      $0.http2.connectionWindow = loopbackWindow
    }) { loopback in
      let request = ByteBuffer.pattern(2000)
      let gate = Gate()
      let opened = Tally()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<6 {
          group.addTask {
            try await loopback.connection.call(Echo.split, request, options: Loopback.options()) { reader in
              _ = try await reader.next()
              opened.add("open")
              await gate.wait()
              var count = 1
              while try await reader.next() != nil { count += 1 }
              #expect(count == 2000)
            }
          }
        }
        try await opened.reaches(6, "open")
        let count = try await loopback.connection.call(Echo.split, request, options: Loopback.options()) {
          reader in
          var count = 0
          while try await reader.next() != nil { count += 1 }
          return count
        }
        #expect(count == 2000)
        gate.open()
        try await group.waitForAll()
      }
    }
  }

  @Test func `file regions arrive as the bytes of the file, which may be closed at once`() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/content"
    let content = ByteBuffer.pattern(3_000_000)
    try Data(content.readableBytesView).write(to: URL(fileURLWithPath: path))
    let files = Marshaller<FileRegion>(
      encode: { OutgoingMessage(head: ByteBuffer(string: "head:"), body: .file($0)) },
      decode: { _ in throw DFSError(.unimplemented, "files are only sent") })
    let served = ServerStreamingMethod(
      path: "/test.Echo/File", retry: .never, request: Echo.bytes, response: files)
    let asked = ServerStreamingMethod(
      path: "/test.Echo/File", retry: .never, request: Echo.bytes, response: Echo.bytes)
    var router = Echo.router()
    router.handle(served) { _, writer, _ in
      for round in 0..<20 {
        let handle = try open(path)
        defer { try? handle.close() }
        let start = round * 1001
        try await writer.write(
          FileRegion(fileHandle: handle, readerIndex: start, endIndex: content.readableBytes))
      }
    }
    try await Loopback.run(router: router) { loopback in
      try await loopback.connection.call(asked, ByteBuffer(), options: Loopback.options()) { reader in
        for round in 0..<20 {
          var message = try #require(try await reader.next())
          #expect(message.readString(length: 5) == "head:")
          #expect(message == content.getSlice(at: round * 1001, length: content.readableBytes - round * 1001))
        }
        #expect(try await reader.next() == nil)
      }
      // One that stops half way leaves no descriptor behind.
      for _ in 0..<20 {
        try await loopback.connection.call(asked, ByteBuffer(), options: Loopback.options()) { reader in
          _ = try await reader.next()
        }
      }
    }
    let left = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count { name in
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(name)")) == path
    }
    #expect(left == 0)
  }

  private func open(_ path: String) throws -> NIOFileHandle { try NIOFileHandle(_deprecatedPath: path) }

  @Test(arguments: [1, 3])
  func `a random mixture of calls on several connections comes out right`(loopCount: Int) async throws {
    var seeds = SeededGenerator()
    print("seed \(seeds.seed)")
    let seed = seeds.next()
    try await Loopback.run(
      loopCount: loopCount,
      server: {
        $0.http2.streamWindow = .kib(100)
        $0.http2.maxFrameSize = .kib(20)
        $0.http2.streamQueue = .kib(50)
        $0.http2.connectionQueue = .kib(400)
      }
    ) { loopback in
      let connections = try await connect(3, loopback)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<40 {
          let connection = connections[number % connections.count]
          group.addTask(executorPreference: number % 2 == 0 ? loopback.loops.next() : nil) {
            var random = SeededGenerator(seed: seed &+ UInt64(number))
            for _ in 0..<8 { try await randomCall(connection, &random) }
          }
        }
        try await group.waitForAll()
      }
      for connection in connections {
        // Whatever was received was given back, however its call ended; the last streams close a moment
        // later.
        let session = connection.session
        let unaccounted = Task(executorPreference: connection.executor) {
          while session.streamCount > 0 { try await Task.sleep(for: .milliseconds(1)) }
          let credit = session.connectionCredit
          return credit.extent - credit.due - session.keptBack - session.remainingWindow
        }
        #expect(try await unaccounted.value == 0)
        await connection.close()
      }
      // The server's ends notice a moment later. Whoever has no streams holds nothing of the budget.
      while loopback.loops.receiveBudget.used != .zero { try await Task.sleep(for: .milliseconds(2)) }
    }
  }

  private func connect(_ count: Int, _ loopback: Loopback) async throws -> [RPCConnection] {
    var connections: [RPCConnection] = []
    for _ in 0..<count {
      connections.append(
        try await RPCConnection.connect(
          to: loopback.endpoint, configuration: .init(), on: loopback.loops.next(), loops: loopback.loops,
          logger: .init(label: "test")))
    }
    return connections
  }

  private func randomCall(_ connection: RPCConnection, _ random: inout SeededGenerator) async throws {
    let size =
      Int.random(in: 0...3, using: &random) == 0
      ? Int.random(in: 0...250_000, using: &random) : Int.random(in: 0...300, using: &random)
    let request = ByteBuffer.pattern(size, seed: Int.random(in: 0...255, using: &random))
    switch Int.random(in: 0...4, using: &random) {
    case 0:
      let response = try await connection.call(Echo.unary, request, options: Loopback.options())
      #expect(response == request)
    case 1:
      let small = ByteBuffer.pattern(min(size, 300))
      let count = try await connection.call(Echo.split, small, options: Loopback.options()) { reader in
        var count = 0
        while let message = try await reader.next() {
          #expect(message == small)
          count += 1
        }
        return count
      }
      #expect(count == small.readableBytes)
    case 2:
      let rounds = Int.random(in: 0...20, using: &random)
      let total = try await connection.call(Echo.total, options: Loopback.options()) { writer in
        for _ in 0..<rounds { try await writer.write(request) }
      }
      #expect(String(buffer: total) == String(rounds * size))
    case 3:
      try await connection.call(Echo.chat, options: Loopback.options()) { writer, reader in
        async let reading: Int = {
          var count = 0
          while let message = try await reader.next() {
            #expect(message == request)
            count += 1
          }
          return count
        }()
        for _ in 0..<10 { try await writer.write(request) }
        try await writer.finish()
        #expect(try await reading == 10)
      }
    default:
      // Given up at a random moment.
      let delay = Int.random(in: 0...3000, using: &random)
      let call = Task {
        try await connection.call(Echo.split, .pattern(2000), options: Loopback.options()) { reader in
          while try await reader.next() != nil {}
        }
      }
      try await Task.sleep(for: .microseconds(delay))
      call.cancel()
      _ = await call.result
    }
  }
}
