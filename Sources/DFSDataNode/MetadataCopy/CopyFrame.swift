import DFSChunkStore
import DFSCodec
import DFSCore

/// A piece of a copy of the coordinator's metadata, as it lies in a file: opaque content with its place, its
/// length and checksums over both.
///
///     kind 1 · number 8 · term 8 · length 4 · CRC32C of the content 4 · CRC32C of the 25 bytes before 4 · content
///
/// Numbers are little-endian.
struct CopyFrame: Sendable, Hashable {
  enum Kind: UInt8, Sendable {
    /// A checkpoint's piece; `number` counts from 0.
    case checkpoint = 1
    /// A checkpoint's end, without content; `number` is the round that it shows.
    case end = 2
    /// A round; `number` is its own.
    case round = 3
  }

  static let headLength = 29
  static let longestContent = 8 << 20

  var kind: Kind
  var number: UInt64
  var term: UInt64
  var content: [UInt8]

  var byteCount: Int { Self.headLength + content.count }

  func append(to bytes: inout [UInt8]) {
    var head: [UInt8] = [kind.rawValue]
    head.append(number)
    head.append(term)
    head.append(UInt32(content.count))
    head.append(CRC32C.checksum(content))
    head.append(CRC32C.checksum(head))
    bytes += head
    bytes += content
  }

  /// What a frame's head says.
  struct Head: Sendable, Hashable {
    var kind: Kind
    var number: UInt64
    var term: UInt64
    var length: Int
    var checksum: UInt32

    /// Throws `.corrupt` for anything but an intact head.
    init(_ bytes: [UInt8]) throws {
      guard bytes.count == headLength, CRC32C.checksum(Array(bytes[..<25])) == bytes.number(at: 25),
        let kind = Kind(rawValue: bytes[0])
      else { throw DFSError(.corrupt, "a frame of a metadata copy is damaged") }
      self.kind = kind
      number = bytes.number(at: 1)
      term = bytes.number(at: 9)
      length = Int(bytes.number(at: 17, as: UInt32.self))
      checksum = bytes.number(at: 21)
      guard length <= longestContent else { throw DFSError(.corrupt, "a frame of a metadata copy is too long") }
    }
  }
}

/// What every file of a copy begins with: whose metadata it is, and which coordinator wrote it.
///
///     "dfsmetac" 8 · format 4 · cluster 8 · incarnation 2 · term 8 · CRC32C of all before 4
struct CopyFileHeader: Sendable, Hashable {
  static let length = 34
  private static let tag = Array("dfsmetac".utf8)
  private static let format: UInt32 = 1

  var cluster: ClusterID
  var epoch: Epoch

  init(cluster: ClusterID, epoch: Epoch) {
    self.cluster = cluster
    self.epoch = epoch
  }

  var bytes: [UInt8] {
    var bytes = Self.tag
    bytes.append(Self.format)
    bytes.append(cluster.rawValue)
    bytes.append(epoch.incarnation)
    bytes.append(epoch.term)
    bytes.append(CRC32C.checksum(bytes))
    return bytes
  }

  /// Throws `.corrupt` for anything but an intact header, `.failedPrecondition` for a newer format.
  init(_ bytes: [UInt8], name: String) throws {
    guard bytes.count == Self.length, bytes.starts(with: Self.tag),
      CRC32C.checksum(Array(bytes[..<30])) == bytes.number(at: 30)
    else { throw DFSError(.corrupt, "\(name) is no file of a metadata copy, or damaged") }
    let format: UInt32 = bytes.number(at: 8)
    guard format == Self.format else {
      throw DFSError(
        .failedPrecondition, "\(name) has format \(format), this program knows \(Self.format): use a newer dfsd")
    }
    cluster = ClusterID(rawValue: bytes.number(at: 12))
    epoch = Epoch(incarnation: bytes.number(at: 20), term: bytes.number(at: 22))
  }
}

/// Reads a file of a copy from its header on, frame by frame.
struct CopyFileReader {
  let header: CopyFileHeader
  private let file: any OpenFile
  private let name: String
  /// Where the next frame begins: everything before is intact.
  private(set) var position: Int
  private let end: Int

  /// Reads up to `end`, or all of the file.
  init(_ file: any OpenFile, name: String, end: Int? = nil) throws {
    self.file = file
    self.name = name
    self.end = min(try file.length(), end ?? .max)
    header = try CopyFileHeader(try Self.read(file, at: 0, CopyFileHeader.length), name: name)
    position = CopyFileHeader.length
  }

  /// The next frame; `nil` at the end. Throws `.corrupt` for a frame that is damaged or cut short.
  mutating func next() throws -> CopyFrame? {
    guard position < end else { return nil }
    let start = position + CopyFrame.headLength
    do {
      let head = try CopyFrame.Head(try Self.read(file, at: position, CopyFrame.headLength))
      let content = try Self.read(file, at: start, head.length)
      guard content.count == head.length, start + head.length <= end,
        CRC32C.checksum(content) == head.checksum
      else { throw DFSError(.corrupt, "its content fails its checksum") }
      position = start + head.length
      return CopyFrame(kind: head.kind, number: head.number, term: head.term, content: content)
    } catch let error as DFSError where error.code == .corrupt {
      throw DFSError(.corrupt, "\(name) is damaged at byte \(position)", cause: error)
    }
  }

  /// Makes durable what was read.
  func sync() throws { try file.sync() }

  /// The file's last frame, when that has no content.
  func lastHead() throws -> CopyFrame.Head {
    guard end >= CopyFileHeader.length + CopyFrame.headLength else {
      throw DFSError(.corrupt, "\(name) is cut short")
    }
    return try CopyFrame.Head(try Self.read(file, at: end - CopyFrame.headLength, CopyFrame.headLength))
  }

  private static func read(_ file: any OpenFile, at offset: Int, _ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let got = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: offset) }
    return got == count ? bytes : Array(bytes.prefix(got))
  }
}

extension [UInt8] {
  fileprivate mutating func append(_ value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }

  /// The bytes must be there.
  fileprivate func number<Number: FixedWidthInteger>(at offset: Int, as _: Number.Type = Number.self) -> Number {
    withUnsafeBytes { Number(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Number.self)) }
  }
}
