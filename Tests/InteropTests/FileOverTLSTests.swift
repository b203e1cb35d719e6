import DFSCore
import DFSCrypto
import DFSRPC
import DFSTransport
import Foundation
import Logging
import NIOCore
import TestSupport
import Testing

/// File payload where encryption has to see the bytes.
@Suite(.timeLimit(.minutes(1))) struct FileOverTLSTests {
  @Test func `file regions arrive over TLS as the bytes of the file`() async throws {
    let certificates = try TestCertificates()
    let identity = try certificates.issue("server")
    let content = ByteBuffer(bytes: (0..<2_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
    let path = certificates.directory.path + "/content"
    try Data(content.readableBytesView).write(to: URL(fileURLWithPath: path))

    let bytes = Marshaller<ByteBuffer>(encode: { OutgoingMessage(head: $0) }, decode: { $0 })
    let files = Marshaller<FileRegion>(
      encode: { OutgoingMessage(head: ByteBuffer(string: "head:"), body: .file($0)) },
      decode: { _ in throw DFSError(.unimplemented, "files are only sent") })
    var router = RPCRouter()
    router.handle(
      ServerStreamingMethod(path: "/test.Files/Get", retry: .never, request: bytes, response: files)
    ) { _, writer, _ in
      for start in 0..<10 {
        let handle = try open(path)
        defer { try? handle.close() }
        try await writer.write(
          FileRegion(fileHandle: handle, readerIndex: start * 1001, endIndex: content.readableBytes))
      }
    }
    let loops = NetworkLoops(count: 2)
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    var configuration = RPCServer.Configuration(listen: [Endpoint(host: "127.0.0.1", port: 0)])
    configuration.security = try TLSContext(
      server: TLSIdentityFiles(certificateChain: identity.certificate, privateKey: identity.key))
    let server = RPCServer(router: router, configuration: configuration, loops: loops, logger: logger)
    let endpoint = try await server.start()[0]
    var client = RPCConnection.Configuration()
    client.security = try TLSContext(clientTrusting: .authorities(file: certificates.authority))
    let connection = try await RPCConnection.connect(
      to: endpoint, configuration: client, on: loops.next(), loops: loops, logger: logger)
    let method = ServerStreamingMethod(
      path: "/test.Files/Get", retry: .never, request: bytes, response: bytes)
    let options = ClientCallOptions(CallOptions(timeout: .seconds(30)), maxResponse: .mib(4))
    try await connection.call(method, ByteBuffer(), options: options) { reader in
      for start in 0..<10 {
        var message = try #require(try await reader.next())
        #expect(message.readString(length: 5) == "head:")
        #expect(message == content.getSlice(at: start * 1001, length: content.readableBytes - start * 1001))
      }
      #expect(try await reader.next() == nil)
    }
    await connection.close()
    await server.drain(grace: .seconds(1))
    await loops.shutdown()
  }
}

private func open(_ path: String) throws -> NIOFileHandle { try NIOFileHandle(_deprecatedPath: path) }
