/// What the last check and the last search for strays found, for status and `admin fsck`. Of this
/// coordinator's life.
package struct CheckBook: Sendable {
  private var check: CheckResult?
  private var search = StrayWalk.Result()

  package init() {}

  /// The last check that came to its end, with the strays of the last search.
  package var last: CheckResult? {
    var result = check
    result?.strays = search.strays
    result?.straysRemoved = search.removed
    return result
  }

  package mutating func ended(_ check: CheckResult) { self.check = check }
  package mutating func ended(_ search: StrayWalk.Result) { self.search = search }
}
