import DFSCore
import DFSCrypto
import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import DFSTransport

/// What one end of a connection saw, and promises for what a test waits for.
private final class Witness: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer

  enum Conduct { case echo, collect }

  let conduct: Conduct
  let ready: EventLoopPromise<SecureChannelReady>
  let failed: EventLoopPromise<any Error>
  let closed: EventLoopPromise<Void>
  let received = NIOLockedValueBox(ByteBuffer())
  /// Succeeds when as many bytes as wanted are here.
  let enough: EventLoopPromise<Void>
  let wanted: Int

  init(_ loop: any EventLoop, _ conduct: Conduct, wanted: Int = 0) {
    self.conduct = conduct
    self.wanted = wanted
    ready = loop.makePromise()
    failed = loop.makePromise()
    closed = loop.makePromise()
    enough = loop.makePromise()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let event = event as? SecureChannelReady { ready.succeed(event) }
    context.fireUserInboundEventTriggered(event)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = unwrapInboundIn(data)
    if conduct == .echo {
      context.write(NIOAny(IOData.byteBuffer(bytes)), promise: nil)
    }
    let count = received.withLockedValue { received in
      received.writeImmutableBuffer(bytes)
      return received.readableBytes
    }
    if count >= wanted { enough.succeed(()) }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    if conduct == .echo { context.flush() }
    context.fireChannelReadComplete()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    failed.succeed(error)
    ready.fail(error)
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    let error = ChannelError.ioOnClosedChannel
    ready.fail(error)
    failed.succeed(error)
    enough.fail(error)
    closed.succeed(())
  }
}

@Suite(.serialized) struct TLSHandlerTests {
  let certificates: TestCertificates
  let server: TLSContext
  let client: TLSContext
  let group = MultiThreadedEventLoopGroup.singleton

  init() throws {
    certificates = try TestCertificates()
    let identity = try certificates.issue("server")
    server = try TLSContext(
      server: TLSIdentityFiles(certificateChain: identity.certificate, privateKey: identity.key))
    client = try TLSContext(clientTrusting: .authorities(file: certificates.authority))
  }

  private func listen(
    _ context: TLSContext, _ conduct: Witness.Conduct = .echo, autoRead: Bool = true,
    _ accepted: @escaping @Sendable (Witness) -> Void = { _ in }
  ) async throws -> any Channel {
    try await ServerBootstrap(group: group)
      .childChannelOption(.autoRead, value: autoRead)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let witness = Witness(channel.eventLoop, conduct)
          accepted(witness)
          try channel.pipeline.syncOperations.addHandler(context.makeHandler(serverName: nil))
          try channel.pipeline.syncOperations.addHandler(witness)
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
  }

  private func connect(
    _ context: TLSContext?, to listener: any Channel, name: String = "localhost", wanted: Int = 0
  ) async throws -> (any Channel, Witness) {
    let loop = group.next()
    let witness = Witness(loop, .collect, wanted: wanted)
    let port = try #require(listener.localAddress?.port)
    let channel = try await ClientBootstrap(group: loop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if let context {
            try channel.pipeline.syncOperations.addHandler(context.makeHandler(serverName: name))
          }
          try channel.pipeline.syncOperations.addHandler(witness)
        }
      }
      .connect(host: "127.0.0.1", port: port).get()
    return (channel, witness)
  }

  private func openNullDevice() throws -> NIOFileHandle {
    let descriptor = open("/dev/null", O_RDONLY)
    return NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
  }

  private func finish(_ listener: any Channel, _ channel: any Channel, _ witness: Witness) async throws {
    channel.close(promise: nil)
    try await witness.closed.futureResult.get()
    try await listener.close()
  }

  @Test func `bytes written in any sizes come back, and every promise after its bytes`() async throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let total = 6 << 20
    let listener = try await listen(server)
    let (channel, witness) = try await connect(client, to: listener, wanted: total)
    let ready = try await witness.ready.futureResult.get()
    #expect(ready.applicationProtocol == "h2")
    #expect(ready.peerName == "server")

    let sent = ByteBuffer(bytes: random.bytes(total))
    var rest = sent
    var last: EventLoopFuture<Void>?
    while rest.readableBytes > 0 {
      let size = [9, 100, 16 << 10, (16 << 10) + 1, 70_000, 300_000].randomElement(using: &random) ?? 9
      guard let piece = rest.readSlice(length: min(size, rest.readableBytes)) else { break }
      let promise = channel.eventLoop.makePromise(of: Void.self)
      channel.write(IOData.byteBuffer(piece), promise: promise)
      if Int.random(in: 0..<4, using: &random) == 0 { channel.flush() }
      last = promise.futureResult
    }
    channel.flush()
    try await last?.get()
    try await witness.enough.futureResult.get()
    #expect(witness.received.withLockedValue { $0 } == sent)
    try await finish(listener, channel, witness)
  }

  @Test func `nothing is accepted for sending before the handshake is done`() async throws {
    let listener = try await listen(server, .collect, autoRead: false)
    let (channel, witness) = try await connect(client, to: listener)
    let piece = ByteBuffer(repeating: 1, count: 100)
    await #expect(throws: DFSError.self) { try await channel.writeAndFlush(IOData.byteBuffer(piece)) }
    try await finish(listener, channel, witness)
  }

  @Test func `ciphertext counts against the channel's water marks before any flush`() async throws {
    let listener = try await listen(server, .collect)
    let (channel, witness) = try await connect(client, to: listener)
    _ = try await witness.ready.futureResult.get()
    let isWritable = try await channel.eventLoop.submit {
      // Headers between the payloads, so that records never end with a write.
      for _ in 0..<40 {
        channel.write(IOData.byteBuffer(ByteBuffer(repeating: 0, count: 9)), promise: nil)
        channel.write(IOData.byteBuffer(ByteBuffer(repeating: 1, count: 64 << 10)), promise: nil)
      }
      return channel.isWritable
    }.get()
    #expect(!isWritable)
    try await finish(listener, channel, witness)
  }

  @Test func `a server of another authority, or with another name, is an error that says so`() async throws {
    let listener = try await listen(server)
    let other = try TestCertificates("Other Authority")
    let wary = try TLSContext(clientTrusting: .authorities(file: other.authority))
    for (context, name) in [(wary, "localhost"), (client, "example.org")] {
      let (_, witness) = try await connect(context, to: listener, name: name)
      let error = try await witness.failed.futureResult.get() as? DFSError
      #expect(error?.code == .unauthenticated)
      try await witness.closed.futureResult.get()
    }
    try await listener.close()
  }

  @Test func `mutual TLS names the client, and tells one without a certificate what it lacks`() async throws {
    let identity = try certificates.issue("server")
    let strict = try TLSContext(
      server: TLSIdentityFiles(certificateChain: identity.certificate, privateKey: identity.key),
      clients: .authorities(file: certificates.authority))
    let accepted = NIOLockedValueBox<[Witness]>([])
    let listener = try await listen(strict) { witness in accepted.withLockedValue { $0.append(witness) } }
    let node = try certificates.issue("node 7")
    let known = try TLSContext(
      clientTrusting: .authorities(file: certificates.authority),
      identity: TLSIdentityFiles(certificateChain: node.certificate, privateKey: node.key))
    let (channel, witness) = try await connect(known, to: listener, wanted: 5)
    _ = try await witness.ready.futureResult.get()
    try await channel.writeAndFlush(IOData.byteBuffer(ByteBuffer(string: "hello")))
    try await witness.enough.futureResult.get()
    let first = try #require(accepted.withLockedValue { $0.first })
    #expect(try await first.ready.futureResult.get().peerName == "node 7")
    channel.close(promise: nil)

    // Many times, each with bytes on their way: a reset that overtakes the alert would show.
    for _ in 0..<20 {
      let (channel, witness) = try await connect(client, to: listener)
      _ = try await witness.ready.futureResult.get()
      channel.writeAndFlush(IOData.byteBuffer(ByteBuffer(repeating: 1, count: 200_000)), promise: nil)
      let error = try await witness.failed.futureResult.get() as? DFSError
      #expect(error?.code == .unauthenticated, "\(String(describing: error))")
      try await witness.closed.futureResult.get()
    }
    try await listener.close()
  }

  @Test func `garbage and cut handshakes end their own connection only`() async throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let accepted = NIOLockedValueBox<[Witness]>([])
    let listener = try await listen(server) { witness in accepted.withLockedValue { $0.append(witness) } }
    for round in 0..<20 {
      let (channel, witness) = try await connect(nil, to: listener)
      var bytes = random.bytes(Int.random(in: 1...2000, using: &random))
      if round % 2 == 0 { bytes = [22, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3] + bytes }
      try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
      channel.close(promise: nil)
      try await witness.closed.futureResult.get()
    }
    let (channel, witness) = try await connect(client, to: listener, wanted: 5)
    _ = try await witness.ready.futureResult.get()
    try await channel.writeAndFlush(IOData.byteBuffer(ByteBuffer(string: "hello")))
    try await witness.enough.futureResult.get()
    for witness in accepted.withLockedValue({ $0.dropLast() }) {
      let error = try await witness.failed.futureResult.get() as? DFSError
      #expect(error?.code == .unavailable)
      try await witness.closed.futureResult.get()
    }
    try await finish(listener, channel, witness)
  }

  @Test func `a file region is refused, and the connection goes on`() async throws {
    let listener = try await listen(server)
    let (channel, witness) = try await connect(client, to: listener, wanted: 5)
    _ = try await witness.ready.futureResult.get()
    let handle = try openNullDevice()
    let region = FileRegion(fileHandle: handle, readerIndex: 0, endIndex: 10)
    await #expect(throws: DFSError.self) { try await channel.writeAndFlush(IOData.fileRegion(region)) }
    try handle.close()
    try await channel.writeAndFlush(IOData.byteBuffer(ByteBuffer(string: "hello")))
    try await witness.enough.futureResult.get()
    try await finish(listener, channel, witness)
  }
}
