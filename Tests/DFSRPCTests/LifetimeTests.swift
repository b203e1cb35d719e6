import DFSCore
import DFSRPC
import DFSTransport
import Foundation
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

/// A door that tests and handlers wait at.
final class Gate: Sendable {
  private let stream: AsyncStream<Void>
  private let continuation: AsyncStream<Void>.Continuation
  init() { (stream, continuation) = AsyncStream.makeStream() }
  func open() { continuation.finish() }
  func wait() async { for await _ in stream {} }
}

/// Counts what handlers saw.
final class Tally: Sendable {
  private let counts = NIOLockedValueBox<[String: Int]>([:])
  func add(_ name: String, _ count: Int = 1) { counts.withLockedValue { $0[name, default: 0] += count } }
  subscript(name: String) -> Int { counts.withLockedValue { $0[name] ?? 0 } }
  /// Waits for something that another task or thread is about to do.
  func reaches(_ count: Int, _ name: String) async throws {
    while self[name] < count { try await Task.sleep(for: .milliseconds(1)) }
  }
}

@Suite(.timeLimit(.minutes(1)))
struct `The end of a call` {
  /// A handler that waits, and says how it ended.
  private func router(_ tally: Tally) -> RPCRouter {
    var router = Echo.router()
    let method = UnaryMethod(
      path: "/test.Echo/Wait", retry: .whenSafe, request: Echo.bytes, response: Echo.bytes)
    router.handle(method) { request, context in
      tally.add("started")
      if context.deadline != nil { tally.add("with deadline") }
      do { try await Task.sleep(for: .seconds(3600)) } catch {
        tally.add("cancelled")
        throw error
      }
      return request
    }
    let stream = BidirectionalMethod(
      path: "/test.Echo/Watch", retry: .never, request: Echo.bytes, response: Echo.bytes)
    router.handle(stream) { reader, writer, _ in
      tally.add("started")
      do {
        while let message = try await reader.next() { try await writer.write(message) }
      } catch {
        tally.add((error as? DFSError)?.code == .cancelled ? "cancelled" : "failed")
        throw error
      }
      tally.add("finished")
    }
    return router
  }

  private let wait = UnaryMethod(
    path: "/test.Echo/Wait", retry: .whenSafe, request: Echo.bytes, response: Echo.bytes)
  private let watch = BidirectionalMethod(
    path: "/test.Echo/Watch", retry: .never, request: Echo.bytes, response: Echo.bytes)

  private func code(of call: Task<ByteBuffer, any Error>) async -> DFSError.Code? {
    do {
      _ = try await call.value
      return nil
    } catch { return (error as? DFSError)?.code }
  }

  @Test func `a deadline ends the call on both sides`() async throws {
    let tally = Tally()
    try await Loopback.run(router: router(tally)) { loopback in
      let error = await #expect(throws: DFSError.self) {
        try await loopback.connection.call(
          wait, ByteBuffer(), options: Loopback.options(timeout: .milliseconds(100)))
      }
      #expect(error?.code == .deadlineExceeded)
      try await tally.reaches(1, "cancelled")
      #expect(tally["with deadline"] == 1)
    }
  }

  @Test func `cancelling the caller's task cancels the handler`() async throws {
    let tally = Tally()
    try await Loopback.run(router: router(tally)) { loopback in
      let task = Task {
        try await loopback.connection.call(wait, ByteBuffer(), options: Loopback.options(timeout: nil))
      }
      try await tally.reaches(1, "started")
      task.cancel()
      let error = await #expect(throws: DFSError.self) { try await task.value }
      #expect(error?.code == .cancelled)
      try await tally.reaches(1, "cancelled")
      #expect(tally["with deadline"] == 0)
    }
  }

  @Test func `a body that leaves early or throws cancels its stream`() async throws {
    let tally = Tally()
    try await Loopback.run(router: router(tally)) { loopback in
      try await loopback.connection.call(watch, options: Loopback.options()) { writer, reader in
        try await writer.write(.pattern(10))
        #expect(try await reader.next() == .pattern(10))
      }
      try await tally.reaches(1, "cancelled")
      await #expect(throws: CocoaError.self) {
        try await loopback.connection.call(watch, options: Loopback.options()) { writer, reader in
          try await writer.write(.pattern(10))
          _ = try await reader.next()
          throw CocoaError(.fileNoSuchFile)
        }
      }
      try await tally.reaches(2, "cancelled")
    }
  }

  @Test func `a task cancelled before its call makes none that hangs`() async throws {
    try await Loopback.run { loopback in
      let task = Task {
        withUnsafeCurrentTask { $0?.cancel() }
        return try await loopback.connection.call(
          Echo.hang, ByteBuffer(), options: Loopback.options(timeout: nil))
      }
      let error = await #expect(throws: DFSError.self) { try await task.value }
      #expect(error?.code == .cancelled)
    }
  }

  @Test func `a lost connection is unavailable for a read, unknown for a mutation`() async throws {
    var router = RPCRouter()
    let tally = Tally()
    for method in [Echo.unary, Echo.mutation] {
      router.handle(method) { request, _ in
        tally.add("started")
        try await Task.sleep(for: .seconds(3600))
        return request
      }
    }
    try await Loopback.run(router: router) { loopback in
      let read = Task {
        try await loopback.connection.call(Echo.unary, ByteBuffer(), options: Loopback.options())
      }
      let mutation = Task {
        try await loopback.connection.call(Echo.mutation, ByteBuffer(), options: Loopback.options())
      }
      try await tally.reaches(2, "started")
      await loopback.server.drain(grace: .zero)
      #expect(await code(of: read) == .unavailable)
      #expect(await code(of: mutation) == .outcomeUnknown)
      let late = await #expect(throws: DFSError.self) {
        try await loopback.connection.call(Echo.mutation, ByteBuffer(), options: Loopback.options())
      }
      #expect(late?.code == .unavailable)
      #expect(!loopback.connection.isUsable)
    }
  }

  @Test func `a drain lets running calls finish and takes no new ones`() async throws {
    let tally = Tally()
    try await Loopback.run(router: router(tally)) { loopback in
      let ended = Gate()
      try await loopback.connection.call(watch, options: Loopback.options()) { writer, reader in
        try await writer.write(.pattern(1))
        _ = try await reader.next()
        let drain = Task {
          await loopback.server.drain(grace: .seconds(30))
          ended.open()
        }
        while loopback.connection.isUsable { try await Task.sleep(for: .milliseconds(1)) }
        let refused = await #expect(throws: DFSError.self) {
          try await loopback.connection.call(Echo.unary, ByteBuffer(), options: Loopback.options())
        }
        #expect(refused?.code == .unavailable)
        for number in 0..<100 {
          try await writer.write(.pattern(number))
          #expect(try await reader.next() == .pattern(number))
        }
        try await writer.finish()
        #expect(try await reader.next() == nil)
        await drain.value
      }
      await ended.wait()
      #expect(tally["finished"] == 1)
      #expect(loopback.server.connectionCount == 0)
    }
  }

  @Test func `a drain cuts off what outlasts its grace`() async throws {
    let tally = Tally()
    try await Loopback.run(router: router(tally)) { loopback in
      let call = Task {
        try await loopback.connection.call(wait, ByteBuffer(), options: Loopback.options())
      }
      try await tally.reaches(1, "started")
      await loopback.server.drain(grace: .milliseconds(200))
      try await tally.reaches(1, "cancelled")
      #expect(await code(of: call) == .unavailable)
    }
  }

  @Test func `deadline and trace id go on to the calls that a handler makes`() async throws {
    let seen = NIOLockedValueBox<[CallContext]>([])
    var inner = RPCRouter()
    inner.handle(Echo.unary) { request, context in
      seen.withLockedValue { $0.append(context) }
      return request
    }
    try await Loopback.run(router: inner) { back in
      var outer = RPCRouter()
      outer.handle(Echo.unary) { request, context in
        #expect(CallContext.current?.path == Echo.unary.path)
        seen.withLockedValue { $0.append(context) }
        return try await back.connection.call(
          Echo.unary, request, options: Loopback.options(timeout: .seconds(3000)))
      }
      try await Loopback.run(router: outer) { front in
        _ = try await front.connection.call(
          Echo.unary, ByteBuffer(), options: Loopback.options(timeout: .seconds(30)))
      }
    }
    let contexts = seen.withLockedValue { $0 }
    #expect(contexts.count == 2)
    #expect(contexts[0].traceID == contexts[1].traceID && contexts[0].traceID.count == 32)
    let deadlines = contexts.compactMap(\.deadline)
    #expect(deadlines.count == 2)
    #expect(deadlines[1] <= deadlines[0] + .seconds(1))
  }
}
