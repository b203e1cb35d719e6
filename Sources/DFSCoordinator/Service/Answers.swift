import DFSCore
import DFSMetadata
import DFSWire
import Foundation

// What the namespace and the cluster know, as messages.

extension WireAttributes {
  init(_ status: EntryStatus, isInline: Bool) {
    self.init()
    inode = status.inode.rawValue
    type = status.kind == .file ? .file : .directory
    mode = UInt32(status.attributes.mode)
    modifiedNs = status.attributes.modified.rawValue
    createdNs = status.created.rawValue
    revision = status.revision.rawValue
    replicas = UInt32(status.policy.replicas)
    owner = status.attributes.owner
    userAttributes = status.attributes.user.mapValues { Data($0) }
    guard status.kind == .file else { return }
    length = UInt64(status.size.rawValue)
    chunkSize = UInt32(status.chunkSize.bytes)
    chunkCount = status.chunkCount
    root = status.root?.wire ?? Data()
    rootKind = status.root == nil ? .unspecified : .canonical
    self.isInline = isInline
  }

  /// A file without chunks has its content, if any, in the inode.
  init(_ status: EntryStatus) {
    self.init(status, isInline: status.kind == .file && status.chunkCount == 0 && status.size > .zero)
  }
}

extension WireChunkReference {
  init(_ reference: ChunkReference) {
    self.init()
    index = reference.index
    length = reference.length
    group = reference.group.rawValue
    root = reference.root.wire
  }
}

extension WireAllocation {
  /// Consecutive indices of one group become one allocation.
  static func runs(of groups: [GroupID], from first: UInt32) -> [WireAllocation] {
    var runs: [WireAllocation] = []
    for (offset, group) in groups.enumerated() {
      if let last = runs.last, last.group == group.rawValue {
        runs[runs.count - 1].count += 1
      } else {
        var run = WireAllocation()
        run.firstIndex = first + UInt32(offset)
        run.count = 1
        run.group = group.rawValue
        runs.append(run)
      }
    }
    return runs
  }
}

extension WireSlotState {
  init(_ state: SlotState) {
    switch state {
    case .full: self = .full
    case .filling: self = .filling
    case .behind: self = .behind
    case .vacant: self = .vacant
    }
  }
}

extension WireNodeAddress {
  init(_ record: ClusterNode) {
    self.init()
    node = record.id.rawValue
    address = record.endpoints.first?.description ?? ""
    zone = record.zone
  }
}

/// Rows of the group table with the addresses of their members, as they stand in many answers.
struct PlacementAnswer: Sendable {
  var groups: [WireGroup] = []
  var nodes: [WireNodeAddress] = []

  init(_ rows: [PlacementGroup], membership: Membership) {
    var named: Set<NodeID> = []
    groups = rows.map { row in
      var group = WireGroup()
      group.id = row.id.rawValue
      group.epoch = row.epoch.rawValue
      group.replicas = UInt32(row.policy.replicas)
      group.slots = row.slots.map { slot in
        var wire = WireSlot()
        wire.state = WireSlotState(slot.state)
        guard let node = slot.node else { return wire }
        wire.node = node.rawValue
        let member = membership[node]
        wire.reachable = member?.isReachable ?? false
        if let member, named.insert(node).inserted { nodes.append(WireNodeAddress(member.record)) }
        return wire
      }
      return group
    }
  }
}

extension Cluster {
  /// Rows that were just read; what is newer in them is learnt on the way.
  func answer(_ rows: [PlacementGroup]) -> PlacementAnswer {
    withState { state in
      for row in rows { state.apply(row) }
      return PlacementAnswer(rows, membership: state.membership)
    }
  }

  /// The rows of the named groups as this coordinator last saw them; unknown ones are left out.
  func answer(groups: some Sequence<GroupID>) -> PlacementAnswer {
    withState { state in
      PlacementAnswer(Set(groups).sorted().compactMap { state.table[$0] }, membership: state.membership)
    }
  }
}
