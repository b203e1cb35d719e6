import DFSCore
import DFSKeyValue

@testable import DFSCoordinator
@testable import DFSMetadata

/// What the durable batches say, read by a simpler hand than the product's: which uploads, versions and
/// condemned things there are, and the rows of groups and nodes.
struct MetadataTruth {
  /// Of the coordinator that settled last.
  var store: (any OrderedStore)?
  private(set) var uploads: Set<InodeID> = []
  /// File versions that have a record, condemned or not.
  private(set) var versions: Set<InodeID> = []
  /// Records of what is to be reaped, by their keys.
  private var condemnations: [[UInt8]: ReapPage.Kind] = [:]
  /// File versions that are condemned.
  private(set) var deadVersions: Set<InodeID> = []
  private(set) var groups: [GroupID: PlacementGroup] = [:]
  private(set) var nodes: [NodeID: ClusterNode] = [:]
  private(set) var revision = Revision.zero
  private(set) var nextSerial: UInt64 = 0

  /// A chunk that must be kept: of an open upload, or of a version that is not condemned.
  func isAlive(_ chunk: ChunkID, in group: GroupID) -> Bool {
    if uploads.contains(chunk.inode) { return true }
    guard versions.contains(chunk.inode), !deadVersions.contains(chunk.inode) else { return false }
    return isNamed(chunk, in: group)
  }

  /// What is known of a chunk, for a person.
  func story(of chunk: ChunkID, in group: GroupID) -> String {
    let view = store.map { NamespaceView(reader: $0.snapshot(), revision: revision) }
    let liveness = (try? view?.liveness(of: [chunk], in: group)).flatMap { $0?.first }
    return "upload open \(uploads.contains(chunk.inode)), version \(versions.contains(chunk.inode)), "
      + "condemned \(deadVersions.contains(chunk.inode)), named \(isNamed(chunk, in: group)), "
      + "the product says \(liveness.map { "\($0)" } ?? "nothing")"
  }

  /// Some version or sealed segment names the chunk.
  func isNamed(_ chunk: ChunkID, in group: GroupID) -> Bool {
    (try? store?.value(for: Keys.chunk(group, chunk))) ?? nil != nil
  }

  /// Chunks of versions and sealed segments that are alive.
  func living(in group: GroupID) -> [ChunkID] {
    guard let store else { return [] }
    let view = NamespaceView(reader: store.snapshot(), revision: revision)
    let named = (try? view.chunks(of: group, after: nil, limit: .max)) ?? []
    return named.filter { isAlive($0, in: group) }
  }

  func livingVersions() -> [InodeID] {
    versions.subtracting(deadVersions).sorted()
  }

  /// The zones that there are to place in.
  private(set) var zones: Set<Zone> = []

  /// Takes a durable batch; gives what of it is news to checkers.
  mutating func apply(_ batch: LedgerBatch) -> [WorldEvent] {
    var news: [WorldEvent] = []
    for change in batch.changes.changes {
      switch change {
      case .put(let key, let value): put(key, value, &news)
      case .delete(let key): delete(key, &news)
      case .deleteRange: break
      }
    }
    return news
  }

  /// Begins anew with what a store holds: after a restore.
  mutating func read(_ store: any OrderedStore) throws {
    self = MetadataTruth()
    self.store = store
    var ignored: [WorldEvent] = []
    try store.scan(KeyRange(from: [], to: nil)) { key, value in
      put(Array(key), Array(value), &ignored)
      return .goOn
    }
  }

  private mutating func put(_ key: [UInt8], _ value: [UInt8], _ news: inout [WorldEvent]) {
    do {
      switch key[0] {
      case UInt8(ascii: "m"):
        if key == Keys.state {
          let state = try StateRecord(stored: value)
          revision = state.revision
          nextSerial = state.nextSerial
        }
      case UInt8(ascii: "i"): try putInode(number(key), value, &news)
      case UInt8(ascii: "u") where key.count == 10:
        if uploads.insert(number(key)).inserted { news.append(.uploadOpened(number(key))) }
      case UInt8(ascii: "e"): news.append(.nameBound(try EntryRecord(stored: value).inode))
      case UInt8(ascii: "x"):
        let kind = try CondemnedRecord(stored: value).kind
        if kind == .version { deadVersions.insert(number(key, at: 10)) }
        if condemnations.updateValue(kind, forKey: key) == nil {
          news.append(.condemned(number(key, at: 10), kind))
        }
      case UInt8(ascii: "g"):
        let id = GroupID(rawValue: key[2..<6].reduce(0) { $0 << 8 | UInt32($1) })
        let row = try GroupRecord(stored: value).group(id)
        news.append(.groupChanged(from: groups[id], to: row))
        groups[id] = row
      case UInt8(ascii: "n"):
        let node = try NodeRecord(stored: value).node
        let known = nodes.updateValue(node, forKey: node.id)
        if known?.zone != node.zone || known?.state != node.state {
          zones = Set(nodes.values.filter { $0.state != .removed }.map { Zone(name: $0.zone, node: $0.id) })
        }
      default: break
      }
    } catch { preconditionFailure("a batch holds a record that can not be read: \(error)") }
  }

  private mutating func putInode(_ inode: InodeID, _ value: [UInt8], _ news: inout [WorldEvent]) throws {
    guard case .file = try InodeRecord(stored: value) else { return }
    if versions.insert(inode).inserted { news.append(.versionMade(inode)) }
  }

  private mutating func delete(_ key: [UInt8], _ news: inout [WorldEvent]) {
    switch key[0] {
    case UInt8(ascii: "i"):
      if versions.remove(number(key)) != nil { news.append(.versionGone(number(key))) }
    case UInt8(ascii: "u") where key.count == 10: uploads.remove(number(key))
    case UInt8(ascii: "x"):
      if condemnations.removeValue(forKey: key) == .version { deadVersions.remove(number(key, at: 10)) }
    default: break
    }
  }

  private func number(_ key: [UInt8], at offset: Int = 2) -> InodeID {
    InodeID(rawValue: key[offset..<offset + 8].reduce(0) { $0 << 8 | UInt64($1) })
  }
}
