/// A number that is handed out once in the life of a cluster: sixteen bits of incarnation, then a counter
/// of forty-eight bits that is raised durably before it is used.
///
/// A restore raises the incarnation, so an id issued before it can never be issued again after it.
public struct SerialNumber: RawRepresentable, Hashable, Sendable, Comparable {
  public static let counterBits: UInt64 = 48
  public static let largestCounter: UInt64 = (1 << counterBits) - 1

  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  public init(incarnation: UInt16, counter: UInt64) {
    precondition(counter <= Self.largestCounter, "a serial number's counter has 48 bits")
    rawValue = UInt64(incarnation) << Self.counterBits | counter
  }

  public var incarnation: UInt16 { UInt16(truncatingIfNeeded: rawValue >> Self.counterBits) }
  public var counter: UInt64 { rawValue & Self.largestCounter }

  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The identity of a directory or of one version of a file. The upload that creates a version carries the
/// same number, so exactly one version owns a chunk.
public struct InodeID: RawRepresentable, Hashable, Sendable, Comparable, CustomStringConvertible {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public init(_ serial: SerialNumber) { rawValue = serial.rawValue }

  /// The directory `/`: incarnation 0, counter 1, in every cluster.
  public static let root = InodeID(rawValue: 1)

  public var description: String { String(rawValue, radix: 16) }
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// An upload is the metadata session of one write; its id is the inode id of the version it creates.
public typealias UploadID = InodeID

/// An immutable piece of a file: the version that owns it and its place in that version's order of
/// allocation. Write-once on a node, never reused, never derived from a path.
public struct ChunkID: Hashable, Sendable, Comparable, CustomStringConvertible {
  public var inode: InodeID
  public var index: UInt32

  public init(inode: InodeID, index: UInt32) {
    self.inode = inode
    self.index = index
  }

  public var description: String { "\(inode).\(index)" }
  public static func < (left: Self, right: Self) -> Bool {
    (left.inode, left.index) < (right.inode, right.index)
  }
}

/// One entry of the slot table: the set of nodes that hold the replicas of a chunk. A chunk names its group
/// for ever; members change, the id does not.
public struct GroupID: RawRepresentable, Hashable, Sendable, Comparable, CustomStringConvertible {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  public var description: String { String(rawValue) }
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A datanode's identity: chosen at random on its first start and kept in its data directory.
public struct NodeID: RawRepresentable, Hashable, Sendable, Comparable, CustomStringConvertible {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  /// Sixteen hexadecimal digits, as `status` and the logs print it and `admin` commands accept it.
  public var description: String { hexadecimal(rawValue) }
  public init?(_ text: some StringProtocol) {
    // A sign would be read as part of the number.
    guard text.utf8.count == 16, text.first != "+", let value = UInt64(text, radix: 16) else { return nil }
    rawValue = value
  }
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The identity of one formatted data directory. A node whose disk was wiped has the old node id at most,
/// never the old store id.
public struct StoreID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public var description: String { hexadecimal(rawValue) }
}

/// Chosen at random on every start of a datanode: tells a restarted process from a cloned directory.
public struct BootID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public var description: String { hexadecimal(rawValue) }
}

/// The identity of a cluster, chosen when its namespace is created and kept in every store.
public struct ClusterID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public var description: String { hexadecimal(rawValue) }
}

/// Names one deletion in the trash: when it expires by the cluster's clock, and a serial number of its own.
/// Printed as two hexadecimal numbers, `18c3f2a6d80-1000000000012`, and read back in this form only.
public struct DeletionID: Hashable, Sendable, Comparable, CustomStringConvertible {
  /// Milliseconds since 1970.
  public var expiry: UInt64
  public var serial: UInt64

  public init(expiry: UInt64, serial: UInt64) {
    self.expiry = expiry
    self.serial = serial
  }

  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let expiry = UInt64(parts[0], radix: 16),
      let serial = UInt64(parts[1], radix: 16)
    else { return nil }
    self.init(expiry: expiry, serial: serial)
    // Zeros in front, capitals and signs would give one deletion two names.
    guard description == text else { return nil }
  }

  public var description: String { "\(String(expiry, radix: 16))-\(String(serial, radix: 16))" }
  public static func < (left: Self, right: Self) -> Bool {
    (left.expiry, left.serial) < (right.expiry, right.serial)
  }
}

/// The metadata's own version number: every mutation gets the next one. Independent of the engine's.
public struct Revision: RawRepresentable, Hashable, Sendable, Comparable, CustomStringConvertible {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public static let zero = Revision(rawValue: 0)
  public var next: Revision { Revision(rawValue: rawValue + 1) }
  public var description: String { String(rawValue) }
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// Names one mutation, so that the same request sent twice is executed once. Begins with the revision its
/// client last saw: a server that has forgotten results below a floor refuses older ids instead of
/// executing them a second time.
public struct RequestID: Hashable, Sendable, CustomStringConvertible {
  public var seen: Revision
  /// 128 random bits, in two halves.
  public var high: UInt64
  public var low: UInt64

  public init(seen: Revision, high: UInt64, low: UInt64) {
    self.seen = seen
    self.high = high
    self.low = low
  }

  public static func random(seen: Revision, using generator: inout some RandomNumberGenerator) -> RequestID {
    RequestID(seen: seen, high: generator.next(), low: generator.next())
  }

  public var description: String { "\(seen)-\(hexadecimal(high))\(hexadecimal(low))" }
}

func hexadecimal(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
