import DFSCore
import Foundation
import TestSupport
import Testing

@testable import DFSCrypto

/// Two sessions and the bytes between them, without a network.
final class TLSPair {
  let server: TLSSession
  let client: TLSSession
  var toServer: [UInt8] = []
  var toClient: [UInt8] = []
  var serverReceived: [UInt8] = []
  var clientReceived: [UInt8] = []

  init(_ server: TLSContext, _ client: TLSContext, name: String = "localhost") throws {
    self.server = try server.makeSession()
    self.client = try client.makeSession(serverName: name)
  }

  /// Moves bytes until neither side has more to say; in pieces of `piece` bytes.
  func run(piece: Int = .max) {
    repeat {
      toServer += Self.pending(client)
      toClient += Self.pending(server)
      let forServer = Array(toServer.prefix(piece))
      toServer.removeFirst(forServer.count)
      serverReceived += Self.receive(forServer, server)
      let forClient = Array(toClient.prefix(piece))
      toClient.removeFirst(forClient.count)
      clientReceived += Self.receive(forClient, client)
    } while !toServer.isEmpty || !toClient.isEmpty
      || client.pendingOutputCount + server.pendingOutputCount > 0
  }

  func connect(piece: Int = .max) {
    client.start()
    run(piece: piece)
  }

  static func receive(_ bytes: [UInt8], _ session: TLSSession) -> [UInt8] {
    var plaintext = [UInt8](repeating: 0, count: TLSSession.plaintextBound(ciphertext: bytes.count))
    let count = bytes.withUnsafeBytes { input in
      plaintext.withUnsafeMutableBytes { session.receive(input, into: $0) }
    }
    return Array(plaintext.prefix(count))
  }

  static func pending(_ session: TLSSession) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: session.pendingOutputCount)
    let count = bytes.withUnsafeMutableBytes { session.takePendingOutput(into: $0) }
    #expect(count == bytes.count)
    return bytes
  }

  static func send(_ bytes: [UInt8], _ session: TLSSession) throws -> [UInt8] {
    var ciphertext = [UInt8](repeating: 0, count: session.ciphertextBound(plaintext: bytes.count))
    let count = try bytes.withUnsafeBytes { input in
      try ciphertext.withUnsafeMutableBytes { try session.send(input, into: $0) }
    }
    return Array(ciphertext.prefix(count))
  }
}

@Suite struct TLSSessionTests {
  let certificates: TestCertificates
  let server: TestCertificates.Identity

  init() throws {
    certificates = try TestCertificates()
    server = try certificates.issue("dfs server")
  }

  func serverContext(
    _ identity: TestCertificates.Identity? = nil, clients: TLSContext.Trust = .anyone
  ) throws -> TLSContext {
    let identity = identity ?? server
    return try TLSContext(
      server: TLSIdentityFiles(certificateChain: identity.certificate, privateKey: identity.key),
      clients: clients)
  }

  func clientContext(_ identity: TestCertificates.Identity? = nil, trusting: String? = nil) throws
    -> TLSContext
  {
    try TLSContext(
      clientTrusting: .authorities(file: trusting ?? certificates.authority),
      identity: identity.map { TLSIdentityFiles(certificateChain: $0.certificate, privateKey: $0.key) })
  }

  @Test(arguments: [Int.max, 1, 7, 1000])
  func `a handshake completes, in pieces of any size, and names the server`(piece: Int) throws {
    let pair = try TLSPair(try serverContext(), try clientContext())
    pair.connect(piece: piece)
    #expect(pair.client.state == .open)
    #expect(pair.server.state == .open)
    #expect(pair.client.protocolVersion == "TLSv1.3")
    #expect(pair.client.peer?.commonName == "dfs server")
    #expect(pair.client.peer?.dnsNames == ["localhost"])
    #expect(pair.client.peer?.addresses == [[127, 0, 0, 1]])
    #expect(pair.server.peer == nil)
  }

  @Test func `bytes arrive as they were sent, in any sizes`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let pair = try TLSPair(try serverContext(), try clientContext())
    pair.connect()
    var sent: [UInt8] = []
    var answered: [UInt8] = []
    for _ in 0..<60 {
      let request = random.bytes(Int.random(in: 0...50_000, using: &random))
      let answer = random.bytes(Int.random(in: 0...2000, using: &random))
      pair.toServer += try TLSPair.send(request, pair.client)
      pair.toClient += try TLSPair.send(answer, pair.server)
      sent += request
      answered += answer
      pair.run(piece: Int.random(in: 1...40_000, using: &random))
    }
    #expect(pair.serverReceived == sent)
    #expect(pair.clientReceived == answered)
  }

  @Test func `a large message takes records of 16 KiB`() throws {
    let pair = try TLSPair(try serverContext(), try clientContext())
    pair.connect()
    let ciphertext = try TLSPair.send([UInt8](repeating: 7, count: 1 << 20), pair.client)
    var position = 0
    var records = 0
    while position < ciphertext.count {
      #expect(ciphertext[position] == 23)
      position += 5 + Int(ciphertext[position + 3]) << 8 + Int(ciphertext[position + 4])
      records += 1
    }
    #expect(records == 64)
  }

  @Test func `a close is told to the other side, and a cut is not taken for one`() throws {
    let pair = try TLSPair(try serverContext(), try clientContext())
    pair.connect()
    pair.client.close()
    pair.run()
    #expect(pair.server.state == .peerClosed)
    pair.server.receiveEnd()
    #expect(pair.server.failure == nil)
    pair.client.receiveEnd()
    #expect(pair.client.state == .failed)
    #expect(pair.client.failure?.code == .unavailable)
  }

  @Test func `a server of another authority is refused`() throws {
    let other = try TestCertificates("Other Authority")
    let pair = try TLSPair(try serverContext(), try clientContext(trusting: other.authority))
    pair.connect()
    #expect(pair.client.failure?.code == .unauthenticated)
    #expect(pair.client.peer == nil)
    #expect(pair.server.failure?.code == .unauthenticated)
    #expect(pair.server.state == .failed)
  }

  @Test(arguments: ["example.org", "127.0.0.2", "::1", "local", "sub.localhost"])
  func `a server with another name is refused`(name: String) throws {
    let pair = try TLSPair(try serverContext(), try clientContext(), name: name)
    pair.connect()
    #expect(pair.client.failure?.code == .unauthenticated)
  }

  @Test(arguments: ["localhost", "localhost.", "LOCALHOST", "127.0.0.1"])
  func `a server is known by its names and addresses`(name: String) throws {
    let pair = try TLSPair(try serverContext(), try clientContext(), name: name)
    pair.connect()
    #expect(pair.client.failure == nil)
    #expect(pair.client.state == .open)
  }

  @Test func `the common name is no name of a server`() throws {
    let identity = try certificates.issue("localhost", names: ["DNS:example.org"])
    let pair = try TLSPair(try serverContext(identity), try clientContext())
    pair.connect()
    #expect(pair.client.failure?.code == .unauthenticated)
  }

  @Test func `an expired certificate is refused`() throws {
    let identity = try certificates.issue("dfs server", validity: .ended)
    let pair = try TLSPair(try serverContext(identity), try clientContext())
    pair.connect()
    #expect(pair.client.failure?.code == .unauthenticated)
    #expect(pair.client.failure?.message.contains("expired") == true)
  }

  @Test func `mutual TLS shows the server who the client is`() throws {
    let identity = try certificates.issue("node 7", names: ["DNS:node7", "URI:dfs://node/7"])
    let pair = try TLSPair(
      try serverContext(clients: .authorities(file: certificates.authority)), try clientContext(identity))
    pair.connect()
    #expect(pair.server.peer?.commonName == "node 7")
    #expect(pair.server.peer?.dnsNames == ["node7"])
    #expect(pair.server.peer?.uris == ["dfs://node/7"])
    #expect(pair.client.state == .open)
  }

  @Test func `mutual TLS refuses a client without a certificate, or with another authority's`() throws {
    let context = try serverContext(clients: .authorities(file: certificates.authority))
    let others = try TestCertificates("Other Authority")
    let stranger = try others.issue("node 7")
    for identity in [nil, stranger] {
      let pair = try TLSPair(context, try clientContext(identity))
      pair.connect()
      #expect(pair.server.failure?.code == .unauthenticated)
      #expect(pair.server.peer == nil)
      // The client believed itself connected (TLS 1.3); the alert tells it better.
      #expect(pair.client.failure?.code == .unauthenticated, "\(String(describing: pair.client.failure))")
    }
  }

  @Test(arguments: [
    "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\u{0}\u{0}\u{0}",
  ])
  func `a server meets what is no TLS with an error`(text: String) throws {
    let session = try serverContext().makeSession()
    let received = TLSPair.receive(Array(text.utf8) + [UInt8](repeating: 0, count: 64), session)
    #expect(received.isEmpty)
    #expect(session.failure?.code == .unavailable)
  }

  @Test func `random bytes instead of a handshake never crash a session`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let serverContext = try serverContext()
    let clientContext = try clientContext()
    for _ in 0..<300 {
      let session =
        Bool.random(using: &random)
        ? try serverContext.makeSession() : try clientContext.makeSession(serverName: "localhost")
      var bytes = random.bytes(Int.random(in: 1...600, using: &random))
      // Half of them look like a handshake record, so that more of the parser is met.
      if Bool.random(using: &random) { bytes = [22, 3, 1, 0, UInt8(min(bytes.count, 255)), 1, 0, 0] + bytes }
      #expect(TLSPair.receive(bytes, session).isEmpty)
      session.receiveEnd()
      #expect(session.state == .failed)
    }
  }

  @Test func `a flipped bit anywhere in a connection never delivers a wrong byte`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let serverContext = try serverContext()
    let clientContext = try clientContext()
    for _ in 0..<60 {
      let pair = try TLSPair(serverContext, clientContext)
      pair.connect()
      let sent = random.bytes(Int.random(in: 1...40_000, using: &random))
      var ciphertext = try TLSPair.send(sent, pair.client)
      let place = Int.random(in: 0..<ciphertext.count, using: &random)
      ciphertext[place] ^= 1 << UInt8.random(in: 0...7, using: &random)
      pair.toServer = ciphertext
      pair.run()
      pair.server.receiveEnd()
      #expect(pair.server.state == .failed)
      #expect(pair.serverReceived.count < sent.count)
      #expect(sent.starts(with: pair.serverReceived))
    }
  }

  @Test func `a truncated handshake is a failure`() throws {
    let pair = try TLSPair(try serverContext(), try clientContext())
    pair.client.start()
    let hello = TLSPair.pending(pair.client)
    #expect(TLSPair.receive(Array(hello.dropLast(9)), pair.server).isEmpty)
    #expect(pair.server.state == .handshaking)
    pair.server.receiveEnd()
    #expect(pair.server.failure?.code == .unavailable)
  }
}
