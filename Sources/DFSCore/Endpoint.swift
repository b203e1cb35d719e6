/// Where a server listens: a host name or an address, and a port. IPv6 addresses are written in brackets.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
  public var host: String
  public var port: Int

  public init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  /// Reads `host:port`, `[::1]:7400` or, with a default port, `host` alone. Throws `.invalidArgument`.
  public init(_ text: some StringProtocol, defaultPort: Int? = nil) throws {
    func refuse(_ why: String) -> DFSError {
      DFSError(.invalidArgument, "\"\(text)\" is no address: \(why); write HOST:PORT")
    }
    var host = text[...]
    var port: Substring?
    if host.first == "[" {
      guard let end = host.firstIndex(of: "]") else { throw refuse("\"]\" is missing") }
      let rest = host[host.index(after: end)...]
      guard rest.isEmpty || rest.first == ":" else { throw refuse("nothing but a port may follow \"]\"") }
      port = rest.isEmpty ? nil : Substring(rest.dropFirst())
      host = host[host.index(after: host.startIndex)..<end]
    } else if let colon = host.lastIndex(of: ":") {
      port = Substring(host[host.index(after: colon)...])
      host = host[..<colon]
      guard !host.contains(":") else { throw refuse("an IPv6 address needs brackets") }
    }
    guard !host.isEmpty else { throw refuse("the host is empty") }
    // A sign would be read as part of the number.
    let written = port.map { $0.first == "+" ? nil : Int($0) }
    guard let number = written ?? defaultPort, (0...65535).contains(number) else {
      throw refuse("the port must be a number from 0 to 65535")
    }
    self.init(host: String(host), port: number)
  }

  /// Whether only this machine can reach a server that listens here.
  package var isLoopback: Bool {
    if host == "localhost" || host == "::1" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
    return parts.count == 4 && !parts.contains(nil) && parts[0] == 127
  }

  public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
