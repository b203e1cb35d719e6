/// Takes one step of reaping: forgets the chunks of a page whose deletion the datanodes have acknowledged, or detaches the
/// next entries of a removed tree. A page that was reaped already changes nothing.
package struct Reap: Mutation {
  package struct Outcome: Sendable, Hashable {
    /// Nothing is left of this condemned record.
    package var isFinished: Bool
  }

  package var page: ReapPage
  package init(page: ReapPage) { self.page = page }
}
