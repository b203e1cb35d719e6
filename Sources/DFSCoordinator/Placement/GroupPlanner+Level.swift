package import DFSCore
import DFSMetadata

extension GroupPlanner {
  /// A slot of a group that is to go from one node to another.
  package struct Move: Sendable, Hashable {
    package var from: NodeID
    package var to: NodeID

    package init(from: NodeID, to: NodeID) {
      self.from = from
      self.to = to
    }
  }

  /// Rows that are looked at for one plan.
  private static let mostRows = 2000

  /// Which slots of groups with chunks go from fuller nodes to emptier ones, so that a node that joined, or came
  /// back after its slots were given away, gets its share: the moves of `before` that still make sense, and
  /// others up to `levelsAtOnce`. None for groups of one replica, which have nobody else to read from while
  /// they change hands. The caller sees to it that nothing is at risk.
  ///
  /// A move is worth its copies only while the nodes are further apart than a tenth of a node's mean share, and
  /// two slots. It never makes the zones of a group fewer, and begins only where a slot of the giver's mean size
  /// leaves the taker a tenth of its disk free: a copy that fills the disk would be given up and begun anew, again
  /// and again.
  package func moves(
    _ table: SlotTable, before: [GroupID: Move], using random: inout some RandomNumberGenerator
  ) -> [GroupID: Move] {
    guard replicas > 1, candidates.count > replicas else { return [:] }
    let rows = table.groups(replicas: policy.replicas).compactMap { table[$0] }
    var draft = Draft(planner: self, groups: rows)
    var moves: [GroupID: Move] = [:]
    var room = Room(candidates, table)
    for (group, move) in before.sorted(by: { $0.key < $1.key }) {
      guard let row = table[group], draft.allows(move, of: row), draft.distance(of: move) ?? 0 > 0,
        room.lasts(for: move)
      else { continue }
      moves[group] = move
      draft.count(move)
      room.take(move)
    }
    let slack = draft.slack
    for row in rows.shuffled(using: &random).prefix(Self.mostRows) where moves[row.id] == nil {
      guard moves.count < rules.levelsAtOnce else { break }
      guard !isEmpty(row.id), let move = draft.move(of: row, slack: slack, room, using: &random) else {
        continue
      }
      moves[row.id] = move
      draft.count(move)
      room.take(move)
    }
    return moves
  }

  /// What the takers' disks have free, without what was promised to them.
  fileprivate struct Room {
    private var free: [NodeID: ByteCount]
    private let reported: [NodeID: ByteCount]
    private let capacity: [NodeID: ByteCount]
    /// Of a mean one, of any policy.
    private let slotBytes: [NodeID: ByteCount]

    init(_ candidates: [Candidate], _ table: SlotTable) {
      func each(_ value: (Candidate) -> ByteCount) -> [NodeID: ByteCount] {
        Dictionary(candidates.map { ($0.node, value($0)) }, uniquingKeysWith: { first, _ in first })
      }
      reported = each(\.free)
      free = reported
      capacity = each(\.capacity)
      slotBytes = each { candidate in
        ByteCount(rawValue: candidate.stored.rawValue / Int64(max(1, table.slotCount(of: candidate.node))))
      }
    }

    private func least(of node: NodeID) -> ByteCount {
      ByteCount(rawValue: (capacity[node] ?? .zero).rawValue / Int64(TrashPressure.wantedShare))
    }

    /// For one that is to begin.
    func isEnough(for move: Move) -> Bool {
      guard let free = free[move.to] else { return false }
      return free - (slotBytes[move.from] ?? .zero) >= least(of: move.to)
    }

    /// For one that was begun, and has taken some of it: a group may be larger than the mean.
    func lasts(for move: Move) -> Bool {
      guard let free = reported[move.to] else { return false }
      return free.rawValue >= least(of: move.to).rawValue / 2
    }

    mutating func take(_ move: Move) {
      free[move.to] = free[move.to].map { max(.zero, $0 - (slotBytes[move.from] ?? .zero)) }
    }
  }
}

extension GroupPlanner.Draft {
  /// How far apart nodes may stay, in slots of a node of mean capacity.
  fileprivate var slack: Double {
    max(2, Double(loads.reduce(0, +)) / Double(max(1, loads.count)) / 10)
  }

  /// From the fullest member that somebody much emptier can stand in for. That need not be the fullest one: its
  /// zone may have nobody else.
  fileprivate func move(
    of row: PlacementGroup, slack: Double, _ room: GroupPlanner.Room,
    using random: inout some RandomNumberGenerator
  ) -> GroupPlanner.Move? {
    for giver in row.members.compactMap({ places[$0] }).sorted(by: { load($0) > load($1) }) {
      let from = planner.candidates[giver].node
      let others = row.members.filter { $0 != from }
      func move(_ place: Int) -> GroupPlanner.Move {
        GroupPlanner.Move(from: from, to: planner.candidates[place].node)
      }
      guard
        let taker = choose(
          joining: others, below: load(giver) - slack, where: { room.isEnough(for: move($0)) },
          using: &random)
      else { continue }
      if allows(move(taker), of: row) { return move(taker) }
    }
    return nil
  }

  private func load(_ place: Int) -> Double { Double(loads[place]) / weights[place] }

  /// What the giver has more than the taker will have; `nil` when one of them may take part no longer.
  fileprivate func distance(of move: GroupPlanner.Move) -> Double? {
    guard let from = places[move.from], let to = places[move.to] else { return nil }
    return load(from) - (Double(loads[to]) + 1) / weights[to]
  }

  /// Every member has everything and answers, and the group's zones stay as many.
  fileprivate func allows(_ move: GroupPlanner.Move, of row: PlacementGroup) -> Bool {
    guard row.members.contains(move.from), !row.members.contains(move.to), places[move.to] != nil,
      row.slots.allSatisfy({ slot in
        slot.state == .full && slot.node.map { planner.inContact.contains($0) } ?? false
      })
    else { return false }
    let others = row.members.filter { $0 != move.from }.compactMap { planner.zones[$0] }
    func crowd(_ node: NodeID) -> Int { others.count { $0 == planner.zones[node] } }
    return crowd(move.to) <= crowd(move.from) && (!isStrict || crowd(move.to) == 0)
  }

  fileprivate mutating func count(_ move: GroupPlanner.Move) {
    if let from = places[move.from] { loads[from] -= 1 }
    if let to = places[move.to] { loads[to] += 1 }
  }
}
