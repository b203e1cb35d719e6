import DFSCore
import Foundation
import TestSupport
import Testing

@testable import DFSCrypto

@Suite struct TLSContextTests {
  let certificates: TestCertificates

  init() throws { certificates = try TestCertificates() }

  func refusal(_ body: () throws -> Void) -> DFSError? {
    do {
      try body()
      return nil
    } catch { return error as? DFSError }
  }

  @Test func `a file that can not be used is named`() throws {
    let one = try certificates.issue("one")
    let two = try certificates.issue("two")
    let missing = certificates.directory.path + "/missing.pem"
    let garbage = certificates.directory.path + "/garbage.pem"
    try "no certificate".write(toFile: garbage, atomically: true, encoding: .utf8)
    for (certificate, key, culprit) in [
      (missing, one.key, missing), (garbage, one.key, garbage), (one.certificate, missing, missing),
      (one.certificate, garbage, garbage), (one.certificate, two.key, two.key),
    ] {
      let error = refusal {
        _ = try TLSContext(server: TLSIdentityFiles(certificateChain: certificate, privateKey: key))
      }
      #expect(error?.code == .invalidArgument)
      #expect(error?.metadata["path"] == culprit)
      if culprit == missing { #expect(error?.message.contains("No such file") == true) }
    }
    for file in [missing, garbage] {
      let error = refusal { _ = try TLSContext(clientTrusting: .authorities(file: file)) }
      #expect(error?.metadata["path"] == file)
    }
  }

  @Test func `an encrypted key is an error, not a question`() throws {
    let identity = try certificates.issue("one")
    let encrypted = certificates.directory.path + "/encrypted.key"
    try TestCertificates.openssl([
      "ec", "-in", identity.key, "-aes256", "-passout", "pass:secret", "-out", encrypted,
    ])
    let error = refusal {
      _ = try TLSContext(
        server: TLSIdentityFiles(certificateChain: identity.certificate, privateKey: encrypted))
    }
    #expect(error?.metadata["path"] == encrypted)
  }

  @Test func `a reload changes new sessions only, and a bad one nothing`() throws {
    let old = try certificates.issue("old")
    let new = try certificates.issue("new")
    let files = TLSIdentityFiles(
      certificateChain: certificates.directory.path + "/live.pem",
      privateKey: certificates.directory.path + "/live.key")
    func install(_ identity: TestCertificates.Identity) throws {
      for (from, to) in [(identity.certificate, files.certificateChain), (identity.key, files.privateKey)] {
        try Data(contentsOf: URL(fileURLWithPath: from)).write(to: URL(fileURLWithPath: to))
      }
    }
    try install(old)
    let server = try TLSContext(server: files)
    let client = try TLSContext(clientTrusting: .authorities(file: certificates.authority))
    let before = try TLSPair(server, client)
    try install(new)
    try server.reload()
    let after = try TLSPair(server, client)
    before.connect()
    after.connect()
    #expect(before.client.peer?.commonName == "old")
    #expect(after.client.peer?.commonName == "new")

    // A refresh notices by itself, and tries again after a file that can not be used.
    try install(old)
    try server.refresh()
    let refreshed = try TLSPair(server, client)
    refreshed.connect()
    #expect(refreshed.client.peer?.commonName == "old")
    try Data(contentsOf: URL(fileURLWithPath: new.certificate)).write(
      to: URL(fileURLWithPath: files.certificateChain))
    #expect(refusal { try server.refresh() }?.code == .invalidArgument)
    try install(new)
    try server.refresh()

    try "broken".write(toFile: files.privateKey, atomically: true, encoding: .utf8)
    #expect(refusal { try server.reload() }?.code == .invalidArgument)
    let later = try TLSPair(server, client)
    later.connect()
    #expect(later.client.peer?.commonName == "new")
  }

  @Test(arguments: ["", ".", "a\u{0}b"])
  func `a name that no certificate can carry is refused`(name: String) throws {
    let client = try TLSContext(clientTrusting: .authorities(file: certificates.authority))
    #expect(refusal { _ = try client.makeSession(serverName: name) }?.code == .invalidArgument)
  }
}
