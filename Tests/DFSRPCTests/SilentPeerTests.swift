import DFSCore
import DFSRPC
import DFSTransport
import Foundation
import Logging
import NIOCore
import Testing

/// The timers are short, and the time limit shows that they are really set.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct `A peer that goes quiet` {
  private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  /// A server that pings after 50 ms of silence, without a client that has to be quick enough for it.
  private func serve(
    keepaliveTimeout: Duration, _ body: @escaping @Sendable (RawPeer) throws -> Bool
  ) async throws -> Bool {
    let loops = NetworkLoops(count: 1)
    var configuration = RPCServer.Configuration(listen: [Endpoint(host: "127.0.0.1", port: 0)])
    configuration.http2.keepaliveInterval = .milliseconds(50)
    configuration.http2.keepaliveTimeout = keepaliveTimeout
    let server = RPCServer(router: RPCRouter(), configuration: configuration, loops: loops, logger: logger)
    let result = try await RawPeer.run(port: try await server.start()[0].port, body)
    await server.drain(grace: .zero)
    await loops.shutdown()
    return result
  }

  @Test func `a client that answers no PING is let go`() async throws {
    let isLetGo = try await serve(keepaliveTimeout: .milliseconds(50)) { peer in
      peer.send(RawFrame.hello)
      return peer.receiveAll() != nil
    }
    #expect(isLetGo)
  }

  @Test func `a client that answers a PING stays, and gets the next one`() async throws {
    let isAskedAgain = try await serve(keepaliveTimeout: .seconds(2)) { peer in
      peer.send(RawFrame.hello)
      for _ in 0..<2 {
        guard peer.receives(RawFrame.keepalivePing) else { return false }
        peer.send(RawFrame.keepalivePong)
      }
      return true
    }
    #expect(isAskedAgain)
  }

  @Test func `our client answers a PING`() async throws {
    let loops = NetworkLoops(count: 1)
    let isAnswered = Gate()
    try await RawPeer.serve { peer in
      peer.send(RawFrame.settings + RawFrame.keepalivePing)
      #expect(peer.receives(RawFrame.keepalivePong))
      isAnswered.open()
    } client: { port in
      let connection = try await RPCConnection.connect(
        to: Endpoint(host: "127.0.0.1", port: port), configuration: .init(), on: loops.next(), loops: loops,
        logger: logger)
      await isAnswered.wait()
      await connection.close()
    }
    await loops.shutdown()
  }

  @Test func `a server that answers no PING is given up, also by a client that was idle before its call`()
    async throws
  {
    let loops = NetworkLoops(count: 1)
    let idle = Duration.milliseconds(300)
    let code = try await RawPeer.serve { peer in
      peer.send(RawFrame.settings)
      #expect(peer.receiveAll() != nil)
    } client: { port in
      var configuration = RPCConnection.Configuration()
      configuration.http2.keepaliveInterval = .milliseconds(100)
      configuration.http2.keepaliveTimeout = .milliseconds(100)
      let connection = try await RPCConnection.connect(
        to: Endpoint(host: "127.0.0.1", port: port), configuration: configuration, on: loops.next(),
        loops: loops,
        logger: logger)
      try await Task.sleep(for: idle)
      #expect(connection.isUsable)
      do {
        _ = try await connection.call(Echo.mutation, .pattern(1), options: Loopback.options())
        return nil as DFSError.Code?
      } catch { return (error as? DFSError)?.code }
    }
    #expect(code == .outcomeUnknown)
    await loops.shutdown()
  }

  @Test func `a connection without calls, and an old one, are drained`() async throws {
    try await Loopback.run(server: { $0.http2.idleTimeout = .milliseconds(100) }) { loopback in
      while loopback.connection.isUsable { try await Task.sleep(for: .milliseconds(5)) }
    }
    // Long enough for a call to begin on a loaded machine.
    try await Loopback.run(server: { $0.http2.maxConnectionAge = .seconds(2) }) { loopback in
      try await loopback.connection.call(Echo.chat, options: Loopback.options()) { writer, reader in
        while loopback.connection.isUsable { try await Task.sleep(for: .milliseconds(5)) }
        // The call that runs is not disturbed.
        try await writer.write(.pattern(7))
        #expect(try await reader.next() == .pattern(7))
      }
    }
  }

  @Test func `a server that hangs is found out before anything is asked of it`() async throws {
    let loops = NetworkLoops(count: 1)
    let code = try await RawPeer.serve(nil) { port in
      var configuration = RPCConnection.Configuration()
      configuration.connectTimeout = .milliseconds(200)
      do {
        _ = try await RPCConnection.connect(
          to: Endpoint(host: "127.0.0.1", port: port), configuration: configuration, on: loops.next(),
          loops: loops,
          logger: logger)
        return nil as DFSError.Code?
      } catch { return (error as? DFSError)?.code }
    }
    #expect(code == .unavailable)
    await loops.shutdown()
  }

  @Test func `a server that speaks no HTTP/2 is unavailable`() async throws {
    let loops = NetworkLoops(count: 1)
    let code = try await RawPeer.serve { peer in
      peer.send(Array("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".utf8))
      _ = peer.receiveAll()
    } client: { port in
      do {
        _ = try await RPCConnection.connect(
          to: Endpoint(host: "127.0.0.1", port: port), configuration: .init(), on: loops.next(), loops: loops,
          logger: logger)
        return nil as DFSError.Code?
      } catch { return (error as? DFSError)?.code }
    }
    #expect(code == .unavailable)
    await loops.shutdown()
  }

  /// A frame that HTTP/2 has announced waits for the socket when its stream is given up.
  @Test func `a writer that is cancelled behind a full socket is reset, and the connection goes on`()
    async throws
  {
    let loops = NetworkLoops(count: 1)
    let isFull = Gate()
    let wasReset = try await RawPeer.serve { peer in
      // Windows that never close: only the socket stops the writer.
      peer.send(RawFrame.frame(type: 4, flags: 0, stream: 0, [0, 4, 127, 255, 255, 255]))
      peer.send(RawFrame.frame(type: 8, flags: 0, stream: 0, [63, 255, 255, 255]))
      let done = DispatchSemaphore(value: 0)
      Task {
        await isFull.wait()
        done.signal()
      }
      done.wait()
      let reset: [UInt8] = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8]
      guard peer.receives(reset) else { throw DFSError(.internal, "no RST_STREAM came") }
    } client: { port in
      let connection = try await RPCConnection.connect(
        to: Endpoint(host: "127.0.0.1", port: port), configuration: .init(), on: loops.next(), loops: loops,
        logger: logger)
      let tally = Tally()
      let call = Task {
        try await connection.call(Echo.chat, options: Loopback.options()) { writer, _ in
          for _ in 0..<1000 {
            try await writer.write(.pattern(1 << 20))
            tally.add("written")
          }
        }
      }
      var last = -1
      while last != tally["written"] {
        last = tally["written"]
        try await Task.sleep(for: .milliseconds(300))
      }
      call.cancel()
      let result = await call.result
      // The reset is queued on the loop before the server reads again.
      try await Task.sleep(for: .milliseconds(50))
      isFull.open()
      let isUsable = connection.isUsable
      if case .failure(let error) = result { return isUsable && (error as? DFSError)?.code == .cancelled }
      return false
    }
    #expect(wasReset)
    await loops.shutdown()
  }
}
