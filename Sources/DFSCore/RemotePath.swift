/// An absolute path in the namespace: `/`, or `/a/b`. Repeated and trailing slashes are dropped; `.` and
/// `..` are refused, never resolved, so a path means the same on every machine.
public struct RemotePath: Hashable, Sendable, CustomStringConvertible {
  /// Deepest nesting, which bounds every walk from a name to the root.
  public static let deepest = 512

  public let components: [FileName]

  public static let root = RemotePath(components: [])

  public init(components: [FileName]) { self.components = components }

  /// Throws `.invalidArgument` for a relative path, a bad name, or one nested deeper than 512.
  public init(_ text: some StringProtocol) throws {
    guard text.utf8.first == UInt8(ascii: "/") else {
      throw DFSError(.invalidArgument, "\"\(text)\" is not a remote path: start it with \"/\"")
    }
    let parts = Array(text.utf8).split(separator: UInt8(ascii: "/"))
    guard parts.count <= Self.deepest else {
      throw DFSError(.invalidArgument, "the path is nested deeper than \(Self.deepest) directories")
    }
    components = try parts.map { try FileName(bytes: Array($0)) }
  }

  public var isRoot: Bool { components.isEmpty }
  public var name: FileName? { components.last }
  public var parent: RemotePath? { isRoot ? nil : RemotePath(components: components.dropLast()) }
  public func appending(_ name: FileName) -> RemotePath { RemotePath(components: components + [name]) }
  public func starts(with other: RemotePath) -> Bool { components.starts(with: other.components) }

  public var description: String { "/" + components.map(\.description).joined(separator: "/") }
}

extension RemotePath {
  private init(components: ArraySlice<FileName>) { self.init(components: Array(components)) }
}
