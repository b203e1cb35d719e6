import COpenSSL
package import DFSCore

/// Who the other end of a connection is, from a certificate that was verified. Names in a certificate that
/// was not verified prove nothing, so there is no such value for them.
package struct TLSPeer: Sendable, Hashable {
  /// The subject's common name, for logs and for rules on who may do what. Servers are recognised by
  /// `dnsNames` and `addresses` alone.
  package let commonName: String?
  package let dnsNames: [String]
  package let uris: [String]
  /// IPv4 and IPv6 addresses, four or sixteen bytes each.
  package let addresses: [[UInt8]]
  /// SHA-256 of the certificate.
  package let fingerprint: Digest

  init?(certificate: OpaquePointer) {
    var bytes = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    guard X509_digest(certificate, EVP_sha256(), &bytes, &count) == 1,
      let fingerprint = Digest(bytes.prefix(Int(count)))
    else { return nil }
    self.fingerprint = fingerprint
    commonName = Self.commonName(of: certificate)
    var dnsNames: [String] = []
    var uris: [String] = []
    var addresses: [[UInt8]] = []
    if let raw = X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) {
      let names = OpaquePointer(raw)
      defer { GENERAL_NAMES_free(names) }
      for index in 0..<dfs_general_name_count(names) {
        guard let name = dfs_general_name(names, index), let text = dfs_general_name_text(name) else {
          continue
        }
        switch name.pointee.type {
        case GEN_DNS: dnsNames += Self.text(Self.bytes(of: text)).map { [$0] } ?? []
        case GEN_URI: uris += Self.text(Self.bytes(of: text)).map { [$0] } ?? []
        default: addresses.append(Self.bytes(of: text))
        }
      }
    }
    self.dnsNames = dnsNames
    self.uris = uris
    self.addresses = addresses
  }

  private static func commonName(of certificate: OpaquePointer) -> String? {
    guard let subject = X509_get_subject_name(certificate) else { return nil }
    let index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1)
    guard index >= 0, let entry = X509_NAME_get_entry(subject, index),
      let data = X509_NAME_ENTRY_get_data(entry)
    else { return nil }
    var utf8: UnsafeMutablePointer<UInt8>?
    let count = ASN1_STRING_to_UTF8(&utf8, data)
    guard count >= 0, let utf8 else { return nil }
    defer { CRYPTO_free(utf8, #file, #line) }
    // SAFETY: OpenSSL has allocated `count` bytes there.
    return text(Array(UnsafeBufferPointer(start: utf8, count: Int(count))))
  }

  /// Nothing for a text with a NUL inside, which C code would read as a shorter name, or that is not UTF-8.
  private static func text(_ bytes: [UInt8]) -> String? {
    bytes.contains(0) ? nil : String(validating: bytes, as: UTF8.self)
  }

  private static func bytes(of string: UnsafePointer<ASN1_STRING>) -> [UInt8] {
    // SAFETY: OpenSSL keeps as many bytes as it says for as long as the string lives, which is this call.
    Array(UnsafeBufferPointer(start: ASN1_STRING_get0_data(string), count: Int(ASN1_STRING_length(string))))
  }
}
