import Foundation

/// Certificates made for one test with the `openssl` command: an authority, and what it signs. The files live
/// as long as the value.
package final class TestCertificates: Sendable {
  package struct Identity: Sendable {
    package let certificate: String
    package let key: String
  }

  /// How long a certificate is valid.
  package enum Validity: Sendable { case day, ended }

  package let directory: TemporaryDirectory
  /// The authority's certificate.
  package let authority: String
  private let authorityKey: String

  package init(_ name: String = "Test Authority") throws {
    directory = try TemporaryDirectory("dfs-certificates")
    authority = directory.path + "/authority.pem"
    authorityKey = directory.path + "/authority.key"
    try Self.openssl([
      "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
      "-subj", "/CN=\(name)", "-addext", "basicConstraints=critical,CA:TRUE",
      "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", authorityKey, "-out", authority,
    ])
  }

  /// Signs a certificate for `commonName`. `names` are in OpenSSL's words: `DNS:localhost`, `IP:127.0.0.1`.
  package func issue(
    _ commonName: String, names: [String] = ["DNS:localhost", "IP:127.0.0.1"], validity: Validity = .day
  ) throws -> Identity {
    let base = directory.path + "/" + UUID().uuidString
    let identity = Identity(certificate: base + ".pem", key: base + ".key")
    let extensions = "subjectAltName=\(names.joined(separator: ","))\nbasicConstraints=CA:FALSE\n"
    try extensions.write(toFile: base + ".ext", atomically: true, encoding: .utf8)
    try Self.openssl([
      "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
      "/CN=\(commonName)",
      "-keyout", identity.key, "-out", base + ".csr",
    ])
    // The end must follow the start, so what has ended is signed for minus one day from today.
    try Self.openssl([
      "x509", "-req", "-in", base + ".csr", "-CA", authority, "-CAkey", authorityKey, "-set_serial",
      String(Int.random(in: 1...1_000_000_000)), "-days", validity == .day ? "1" : "-1", "-extfile",
      base + ".ext",
      "-out", identity.certificate,
    ])
    return identity
  }

  @discardableResult
  package static func openssl(_ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["openssl"] + arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw OpenSSLCommandFailed(arguments: arguments, output: text)
    }
    return text
  }
}

package struct OpenSSLCommandFailed: Error {
  package let arguments: [String]
  package let output: String
}
