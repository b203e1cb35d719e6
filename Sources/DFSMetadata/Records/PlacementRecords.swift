import DFSCore

/// `g/`: a row of the slot table. The id is in the key.
struct GroupRecord: StoredRecord, Hashable {
  var epoch: GroupEpoch
  var policy: PlacementPolicy
  var slots: [GroupSlot]
  /// Since version 2.
  var missedAt: Revision
  /// Since version 3.
  var countsFrom: [NodeID: GroupEpoch]
  /// Since version 4.
  var doubted: Set<NodeID>

  static let what: StaticString = "group"
  static let version: UInt8 = 4
  static let oldestVersion: UInt8 = 1

  init(_ group: PlacementGroup) {
    epoch = group.epoch
    policy = group.policy
    slots = group.slots
    missedAt = group.missedAt
    countsFrom = group.countsFrom
    doubted = group.doubted
  }

  func group(_ id: GroupID) -> PlacementGroup {
    PlacementGroup(
      id: id, epoch: epoch, policy: policy, slots: slots, missedAt: missedAt, countsFrom: countsFrom,
      doubted: doubted)
  }

  func writeFields(to writer: inout RecordWriter) {
    writer.number(epoch.rawValue)
    writer.policy(policy)
    writer.slots(slots)
    writer.revision(missedAt)
    // In the order of the slots, zero for who counts from the beginning.
    for node in slots.compactMap(\.node) { writer.number((countsFrom[node] ?? .zero).rawValue) }
    writer.number(UInt(doubted.count))
    for node in doubted.sorted() { writer.node(node) }
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    epoch = GroupEpoch(rawValue: try reader.number())
    policy = try reader.policy()
    slots = try reader.slots()
    missedAt = reader.recordVersion >= 2 ? try reader.revision() : .zero
    countsFrom = [:]
    for node in slots.compactMap(\.node) where reader.recordVersion >= 3 {
      let since = GroupEpoch(rawValue: try reader.number())
      if since > .zero { countsFrom[node] = since }
    }
    doubted = []
    if reader.recordVersion >= 4 {
      for _ in 0..<(try reader.count(upTo: Limits.doubtedNodes)) { doubted.insert(try reader.node()) }
    }
    guard slots.count == Int(policy.replicas) else {
      throw reader.corrupt("its slots are not as many as its replicas")
    }
  }
}

/// `n/`: a datanode. The id is in the key.
struct NodeRecord: StoredRecord, Hashable {
  var node: ClusterNode

  static let what: StaticString = "node"
  /// Version 2 adds whether it is suspect.
  static let version: UInt8 = 2
  static let oldestVersion: UInt8 = 1

  init(_ node: ClusterNode) { self.node = node }

  func writeFields(to writer: inout RecordWriter) {
    writer.node(node.id)
    writer.fixed(node.store.rawValue)
    writer.fixed(node.boot.rawValue)
    writer.number(UInt(node.endpoints.count))
    for endpoint in node.endpoints {
      writer.text(endpoint.host)
      writer.number(UInt16(clamping: endpoint.port))
    }
    writer.text(node.zone)
    writer.length(node.capacity)
    writer.byte(node.state.rawValue)
    writer.blob(node.receiptKey)
    writer.byte(node.isSuspect ? 1 : 0)
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    let id = try reader.node()
    let store = StoreID(rawValue: try reader.fixed())
    let boot = BootID(rawValue: try reader.fixed())
    let endpoints = try (0..<(try reader.count(upTo: Limits.nodeEndpoints))).map { _ in
      Endpoint(host: try reader.text(upTo: 255), port: Int(try reader.number(UInt16.self)))
    }
    node = ClusterNode(
      id: id, store: store, boot: boot, endpoints: endpoints, zone: try reader.text(upTo: Limits.zoneBytes),
      capacity: try reader.length(), state: try reader.choice(),
      receiptKey: try reader.blob(upTo: Limits.receiptKeyBytes))
    if reader.recordVersion >= 2 { node.isSuspect = try reader.optional { _ in } != nil }
  }
}
