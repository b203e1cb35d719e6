import DFSCore
import DFSTransport
import DequeModule
import Foundation
import NIOConcurrencyHelpers
import NIOCore

/// The messages of one call on their way out. Writers may be on any thread; each waits while too much of
/// the call (or of its connection) is queued already.
final class CallOutbox: @unchecked Sendable {
  // SAFETY: `head` is touched on the loop only; everything that changes otherwise is in `state`, behind
  // its lock.
  private enum Item: Sendable {
    case message(ShortBytes, ByteBuffer, Payload?)
    case finish
  }

  private struct Waiter {
    var id: UInt64
    var size: Int
    var continuation: UnsafeContinuation<Void, any Error>
  }

  private struct State {
    var queued = 0
    var waiters: Deque<Waiter> = []
    var lastWait: UInt64 = 0
    var cancelledWaits: Set<UInt64> = []
    var isFinished = false
    var failure: DFSError?
    /// On their way to the loop. The order of one writer is kept although it may change threads.
    var items: Deque<Item> = []
  }

  private let executor: LoopExecutor
  private let fileThreads: BlockingThreads
  private let encoding: MessageEncoding
  private let limit: Int
  private let state = NIOLockedValueBox(State())
  private let stream: NIOLockedValueBox<HTTP2Stream?>
  /// What goes out before the first message: a server's response head.
  private var head: HeaderList?

  /// A client's stream comes later, with `attach`.
  init(
    stream: HTTP2Stream?, executor: LoopExecutor, loops: NetworkLoops, encoding: MessageEncoding, limit: Int,
    head: HeaderList? = nil
  ) {
    self.stream = NIOLockedValueBox(stream)
    self.executor = executor
    fileThreads = loops.fileThreads
    self.encoding = encoding
    self.limit = limit
    self.head = head
  }

  /// Whether nothing was sent yet. On the loop.
  var isUntouched: Bool { head != nil }

  func attach(_ stream: HTTP2Stream) {
    self.stream.withLockedValue { $0 = stream }
    sendItems()
  }

  /// Queues `message`; waits first for room. Throws why the call ended, `.cancelled` when the writing
  /// task is.
  func write(_ message: OutgoingMessage) async throws {
    let message = try await prepare(message)
    try await reserve(message.size)
    submit(.message(message.prefix, message.head, message.body))
  }

  /// A client's half-close.
  func finish() {
    let isFirst = state.withLockedValue { state in
      defer { state.isFinished = true }
      return !state.isFinished && state.failure == nil
    }
    if isFirst { submit(.finish) }
  }

  /// The call is over: writers throw `error`.
  func fail(_ error: DFSError) {
    let waiters = state.withLockedValue { state in
      state.failure = state.failure ?? error
      state.items.removeAll()
      defer { state.waiters.removeAll() }
      return state.waiters
    }
    for waiter in waiters { waiter.continuation.resume(throwing: error) }
  }

  /// So many bytes went to the socket. On the loop.
  func sent(_ count: Int) {
    let isCongested = stream.withLockedValue { $0?.session.isCongested ?? false }
    let ready: [Waiter] = state.withLockedValue { state in
      state.queued -= count
      guard !isCongested, !state.waiters.isEmpty else { return [] }
      var ready: [Waiter] = []
      while state.queued < limit, let waiter = state.waiters.popFirst() {
        state.queued += waiter.size
        ready.append(waiter)
      }
      return ready
    }
    for waiter in ready { waiter.continuation.resume() }
  }

  // MARK: - Preparing

  private struct Prepared {
    var prefix: ShortBytes
    var head: ByteBuffer
    var body: Payload?
    var size: Int
  }

  private func prepare(_ message: OutgoingMessage) async throws -> Prepared {
    let compressed = encoding == .identity ? nil : try encoding.compress(message)
    let length = compressed?.readableBytes ?? message.byteCount
    guard let length32 = UInt32(exactly: length) else {
      throw DFSError(.exhausted, "a message is limited to 4 GiB")
    }
    var prefix = ShortBytes()
    prefix.append(compressed == nil ? 0 : 1)
    for shift in [24, 16, 8, 0] as [UInt32] { prefix.append(UInt8(truncatingIfNeeded: length32 >> shift)) }
    let size = length + MessageDecoder.prefixLength
    if let compressed { return Prepared(prefix: prefix, head: compressed, body: nil, size: size) }
    let body: Payload? =
      switch message.body {
      case .none: nil
      case .buffer(let buffer): .buffer(buffer)
      case .lent(let buffer, let loan): .lent(buffer, loan)
      case .file(let region): try await payload(of: region)
      }
    return Prepared(prefix: prefix, head: message.head, body: body, size: size)
  }

  private func payload(of region: FileRegion) async throws -> Payload {
    let slice = try FileSlice(region)
    if stream.withLockedValue({ $0?.session.isPlain ?? false }) { return .file(slice) }
    // Encryption has to see the bytes, so a thread that may block reads them.
    return .buffer(try await fileThreads.run { try slice.read() })
  }

  // MARK: - Room

  private func reserve(_ size: Int) async throws {
    let isCongested = stream.withLockedValue { $0?.session.isCongested ?? false }
    let wait: UInt64? = try state.withLockedValue { state in
      if try Self.claim(size, isCongested: isCongested, limit: limit, &state) { return nil }
      state.lastWait += 1
      return state.lastWait
    }
    guard let wait else { return }
    try await withTaskCancellationHandler {
      try await withUnsafeThrowingContinuation { continuation in
        park(Waiter(id: wait, size: size, continuation: continuation), isCongested: isCongested)
      }
    } onCancel: {
      cancel(wait)
    }
  }

  private static func claim(_ size: Int, isCongested: Bool, limit: Int, _ state: inout State) throws -> Bool {
    if let failure = state.failure { throw failure }
    if state.isFinished { throw DFSError(.internal, "a message was written after the last one") }
    // Something of ours must be queued for its departure to wake us.
    let hasRoom = state.queued < limit && !(isCongested && state.queued > 0)
    guard hasRoom, state.waiters.isEmpty else { return false }
    state.queued += size
    return true
  }

  /// Looks again under the lock: room that came since the first look must not be waited for.
  private func park(_ waiter: Waiter, isCongested: Bool) {
    let result: Result<Bool, any Error> = state.withLockedValue { state in
      Result {
        if try Self.claim(waiter.size, isCongested: isCongested, limit: limit, &state) { return true }
        if state.cancelledWaits.remove(waiter.id) != nil { throw Self.cancellation }
        state.waiters.append(waiter)
        return false
      }
    }
    switch result {
    case .success(true): waiter.continuation.resume()
    case .success(false): break
    case .failure(let error): waiter.continuation.resume(throwing: error)
    }
  }

  private func cancel(_ wait: UInt64) {
    let waiter: Waiter? = state.withLockedValue { state in
      guard let index = state.waiters.firstIndex(where: { $0.id == wait }) else {
        state.cancelledWaits.insert(wait)
        return nil
      }
      return state.waiters.remove(at: index)
    }
    waiter?.continuation.resume(throwing: Self.cancellation)
  }

  private static let cancellation = DFSError(.cancelled, "the call was cancelled")

  // MARK: - To the loop

  private func submit(_ item: Item) {
    let isFirst = state.withLockedValue { state in
      state.items.append(item)
      return state.items.count == 1
    }
    if executor.loop.inEventLoop {
      sendItems()
    } else if isFirst {
      executor.loop.execute { self.sendItems() }
    }
  }

  /// Hands over what writers on other threads have left here. On the loop.
  func sendItems() {
    guard let stream = stream.withLockedValue({ $0 }) else { return }
    var didSend = false
    while let item = state.withLockedValue({ $0.items.popFirst() }) {
      if let head {
        stream.respond(head)
        self.head = nil
      }
      switch item {
      case .message(let prefix, let head, let body):
        stream.send(.short(prefix))
        stream.send(.buffer(head))
        if let body { stream.send(body) }
        didSend = true
      case .finish:
        stream.finish()
        didSend = false
      }
    }
    if didSend { stream.resume() }
  }
}
