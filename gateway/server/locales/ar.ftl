# العربية. Months: Unicode CLDR 48.2, main/ar-IQ/ca-gregorian.json and main/ar/ca-islamic.json; digits and separator: main/ar-IQ/numbers.json.
language-name = العربية
direction = rtl
digits = ٠١٢٣٤٥٦٧٨٩
group-separator = ٬
date = { $day } { $month } { $year }
instant = { $day }، { $time } بالتوقيت العالمي
hijri-date = { $date } هـ
month-1 = كانون الثاني
month-2 = شباط
month-3 = آذار
month-4 = نيسان
month-5 = أيار
month-6 = حزيران
month-7 = تموز
month-8 = آب
month-9 = أيلول
month-10 = تشرين الأول
month-11 = تشرين الثاني
month-12 = كانون الأول
hijri-month-1 = محرم
hijri-month-2 = صفر
hijri-month-3 = ربيع الأول
hijri-month-4 = ربيع الآخر
hijri-month-5 = جمادى الأولى
hijri-month-6 = جمادى الآخرة
hijri-month-7 = رجب
hijri-month-8 = شعبان
hijri-month-9 = رمضان
hijri-month-10 = شوال
hijri-month-11 = ذو القعدة
hijri-month-12 = ذو الحجة

# حول كل صفحة
skip = الانتقال إلى المحتوى
pages = الصفحات
recorded = كل اطّلاع على الرسائل والسجلات والشركاء والقراءات يُقيَّد في سجلّ الدار: من ومتى وماذا ولماذا.
back-to-overview = العودة إلى النظرة العامة
nav-overview = نظرة عامة
nav-messages = الرسائل
nav-ledger = السجلات
nav-partners = الشركاء
nav-schemas = أنواع الرسائل
nav-purposes = الأغراض
nav-reads = من قرأ ماذا
role-operator = مشغّل
role-auditor = مدقّق
role-data-protection = مسؤول حماية البيانات
role-backend = نظام وطني

# كلمات كثيرة الورود
yes = نعم
no = لا
any = الكل
time = الوقت
type = النوع
record = القيد
from = من
to = إلى
partner = الشريك
verdict = الحكم
number = الرقم
entry = المدخل
entries = المدخلات
log = السجلّ
root = الجذر
purpose = الغرض
reason = السبب
what = ماذا
who = من
older = الأقدم
newer = الأحدث
direction-label = الاتجاه
direction-received = واردة
direction-sent = صادرة
agreed-receive = منهم إلينا
agreed-send = منّا إليهم
messages = { $count ->
    [zero] لا رسائل
    [one] رسالة واحدة
    [two] رسالتان
    [few] { $number } رسائل
    [many] { $number } رسالة
   *[other] { $number } رسالة
}
days = { $count ->
    [zero] أقل من يوم
    [one] يوم واحد
    [two] يومان
    [few] { $number } أيام
    [many] { $number } يومًا
   *[other] { $number } يوم
}
times = { $count ->
    [zero] لم تُسلَّم
    [one] مرة واحدة
    [two] مرتان
    [few] { $number } مرات
    [many] { $number } مرة
   *[other] { $number } مرة
}
entries-number = { $count ->
    [zero] لا مدخلات
    [one] مدخل واحد
    [two] مدخلان
    [few] { $number } مدخلات
    [many] { $number } مدخلًا
   *[other] { $number } مدخل
}
hashes = { $count ->
    [zero] بلا بصمات
    [one] بصمة واحدة
    [two] بصمتان
    [few] { $number } بصمات
    [many] { $number } بصمة
   *[other] { $number } بصمة
}

# نظرة عامة
attention = ما يستدعي الانتباه
attention-none = لا شيء يستدعي الانتباه.
attention-missing = لا تُستلم رسائل: { $value }
attention-alarms = روايتان متناقضتان لسجلّ واحد: { $value }
attention-reconciled = شركاء يخالف سجلّهم سجلّنا: { $value }
attention-dead = رسائل تُركت محاولة إيصالها: { $value }
attention-waiting = شركاء تنتظرهم رسائل منذ أكثر من عشر دقائق: { $value }
attention-handover = أنظمة وطنية تنتظرها رسائل منذ أكثر من عشر دقائق: { $value }
attention-certificates = شهادات تنتهي خلال ثلاثين يومًا: { $value }
traffic = الحركة في الأيام الأربعة عشر الأخيرة
traffic-none = لم يُحكم على أيّ رسالة في هذه الأيام.
chart-table = الشيء نفسه في جدول
day = اليوم
refused-or-ended = رُفضت أو انتهت بلا حكم
refusals = أسباب رفض الرسائل
how-many = العدد
queues = ما ينتظر
queues-empty = لا شيء ينتظر.
queue-for = لأجل
waiting = المنتظر
oldest = أقدمها منذ
witnesses = مدى شهادة الجوار على سجلّاتنا
witness = الشاهد
cosigned = موقَّع بالمشاركة
no-partners = لا يوجد شريك بعد.
reconciled = المطابقة مع سجلّات الشركاء
reconciled-not-yet = ليس بعد.
reconciled-what = آخر التقارير عن كلّ شريك كما يثبتها سجلّ الدار. ويسمّي الأمر silkgate reconcile كلّ رسالة فيها اختلاف.
reconciliation = النتيجة
reconciled-agree = الطرفان متّفقان
reconciled-agree-span = الطرفان متّفقان على رسائل مدّة معيّنة
reconciled-differ = الطرفان مختلفان
reconciled-unstated = السجلّ لا يذكر
before-this-start = عُدّت قبل تشغيل هذه البوّابة
by = أجراها
by-the-gateway = البوّابة
report-digest = بصمة التقرير (SHA-256)
both-agree = الطرفان متفقان
differences = الاختلافات
certificates = الشهادات
certificate = الشهادة
certificate-tls = الاتصال بالشركاء
certificate-tls-ca = سلطة هذه الاتصالات
certificate-message = توقيع الرسائل
certificate-national = المستوى الوطني
certificate-national-ca = سلطة المستوى الوطني
certificate-client = مستخدم
holder = صاحبها
begins = تبدأ
ends = تنتهي
left = المتبقّي

# الرسائل
search-for = معرّف الرسالة أو القيد أو اللوحة أو رقم الهيكل أو الوثيقة أو الحاوية
search = بحث
from-day = من يوم (بالتوقيت العالمي)
to-day = إلى يوم (بالتوقيت العالمي)
export = كلّ ما وُجد في ملفّ:
evidence-of-all = دليل كلّ ما وُجد
evidence-all-what = ملفّ واحد، 2,000 رسالة و64 ميبي بايت على الأكثر، يحكم عليه برنامجان في أيّ مكان. يأتي بعد أن يكتمل ويُفحص. وفيه ما تقوله الرسائل، فمن يأخذه يذكر السبب، وكلاهما يُقيَّد.
nothing-found = لا توجد رسالة كهذه.
making = أين وصل الملفّ
look-again = نظرة أخرى
making-none = لا يُعدّ لك ملفّ.
making-under-way = الملفّ قيد الإعداد.
making-whole = اكتمل الملفّ.
making-given-up = لم يكتمل الملفّ.
making-found = { $count ->
    [zero] لم توجد رسالة بعد.
    [one] وُجدت رسالة واحدة حتى الآن.
    [two] وُجدت رسالتان حتى الآن.
    [few] وُجدت { $number } رسائل حتى الآن.
    [many] وُجدت { $number } رسالة حتى الآن.
   *[other] وُجدت { $number } رسالة حتى الآن.
}
making-entries = قُرئ { $done } من { $of } قيدًا في أحد السجلّات.
making-messages = فيه { $done } من { $of } رسالة.
making-in-it = { $count ->
    [zero] ليست فيه رسالة.
    [one] فيه رسالة واحدة.
    [two] فيه رسالتان.
    [few] فيه { $number } رسائل.
    [many] فيه { $number } رسالة.
   *[other] فيه { $number } رسالة.
}
making-back-to = ويعود حتى { $value }.
searched-back-to = جرى البحث رجوعًا حتى { $value }.
verdict-accepted = مقبولة
verdict-rejected = مرفوضة
verdict-waiting = منتظرة
verdict-undelivered = بلا حكم
state-accepted = مقبولة
state-rejected = مرفوضة
state-queued = تنتظر الإرسال
state-receipted = مقبولة والإيصال محفوظ
state-expired = انتهت قبل أي محاولة
state-unknown = انتهت والنتيجة مجهولة
state-returned = مُعادة
state-dead = تُركت
state-dropped = تُركت وأُبعدت
type-alert-vehicle = مركبة مطلوبة
type-alert-person = شخص مطلوب أو مفقود
type-alert-document = وثيقة مفقودة أو مسروقة
type-hit-notice = مطابقة مع بلاغ
type-query-request = استفسار
type-query-response = جواب
type-control-result = نتيجة تفتيش
type-crossing-status = حالة معبر
type-incident-notice = حادث
type-manifest-cargo = بيان حمولة
type-manifest-passenger = قائمة مسافرين
type-risk-notice = إشعار خطر
type-transit-movement = حركة عبور

# رسالة واحدة
message = الرسالة
same-id = لعدّة رسائل هذا المعرّف، وهو فريد لدى كلّ مرسل وحده:
signed-at = وُقّعت
logged-at = قُيّدت
expires-at = صالحة حتى
digest = الملخّص (SHA-256)
signing-certificate = شهادة التوقيع (SHA-256)
kept-until = يُحفظ المحتوى حتى
erased-at = حُذف المحتوى في { $value } بموجب القاعدة
content = المحتوى
content-closed = المحتوى مغلق. من يفتحه يذكر السبب، وكلاهما يُقيَّد.
content-erased = حُذف المحتوى. ويظلّ السجلّ يُثبت أن الرسالة جرى تبادلها وما آلت إليه.
content-not-kept = المحتوى غير محفوظ.
unreadable = تتعذّر قراءة المحتوى:
reason-unfit = يُرجى ذكر سبب من 3 إلى 200 حرف.
open-content = فتح المحتوى
cut = البقيّة في الرسالة نفسها.
checks = الفحوص
passed = اجتازته
failed = لم تجتزه
check-signature = التوقيع
check-envelope = الغلاف
check-not-seen-before = لم تَرِد من قبل
check-certificate-and-times = الشهادة والأوقات
check-parties-and-agreement = الأطراف والاتفاق
check-schema-and-rules = المخطّط والقواعد
check-lifecycle = ترتيب القيد
violations = مواضع الخطأ
where = الموضع
rule = القاعدة
proof = البرهان
proof-what = يتضمّن السجلّ المدخل أدناه. ومن بصمته مع البصمات المجاورة لها يستطيع أيّ كان حساب الجذر المذكور في نقطة التحقّق، ومن وقّع نقطة التحقّق لا يستطيع إنكارها بعد ذلك.
of-entries = من أصل { $value }
signed-by = نقطة التحقّق موقّعة من
leaf = المدخل
prove = التحقّق في هذا المتصفّح
prove-good = ثبت
prove-bad = خطأ
prove-skip = لم يُتحقَّق منه هنا
prove-message = توقيع المُرسِل على الرسالة
prove-digest = الرسالة هي التي يسمّيها المدخل
prove-path = بصمة المدخل تؤدّي إلى الجذر
prove-checkpoint = توقيع سجلّنا على نقطة التحقّق بهذا الجذر
prove-cosignature = التوقيع المشترك للشريك على نقطة التحقّق نفسها
prove-all = ثبت كلّ ما أمكن التحقّق منه هنا.
prove-not = ثمّة خطأ. لا تعتمد على هذه الرسالة.
evidence = الدليل
evidence-what = ملفّ واحد فيه الرسالة وبراهينها وبطاقات الدولتين والمخطّط والقواعد. يحكم عليه برنامجان كُتبا على نحو مستقلّ في أيّ مكان ودون هذه البوّابة. وفيه ما تقوله الرسالة، فمن يأخذه يذكر السبب، وكلاهما يُقيَّد.
take-evidence = أخذ الدليل (ZIP)
life = حياة القيد
attempts = محاولات الإرسال
outcome = النتيجة
deliveries = عمليات التسليم
handed-out = سُلّمت
acknowledged = أُقرّ بها
not-yet = ليس بعد

# السجلات
ledger-what = كلّ سجلّ ينمو فقط. نقاط تحقّقه توقّعها هذه البوّابة ويشارك الجوار في توقيعها، فيلاحظون أيّ تغيير أو حذف.
growth = مدخلات الأيّام الأربعة عشر الأخيرة:
new-entries = مدخلات جديدة
entries-in-all = المجموع
house-log = سجلّ الدار: الإدارة والقراءات والغرباء المرفوضون
channel-with = القناة مع { $value }
checkpoints = نقاط التحقّق
cosigned-by = موقَّع بالمشاركة من { $value }
time-stamped = مختوم زمنيًا
alarm = إنذار: روايتان متناقضتان للسجلّ { $value }.
newest-checkpoint = أحدث نقطة تحقّق
newest-checkpoints = أحدث نقاط التحقّق بعدد مدخلاتها:
older-checkpoint = نقطة التحقّق الأقدم
newer-checkpoint = نقطة التحقّق الأحدث
compare = مقارنة
consistent = نقطة التحقّق الأحدث تتضمّن كلّ ما تضمّنته الأقدم بالترتيب نفسه.
inconsistent = نقطة التحقّق الأحدث لا تُكمل الأقدم، أو إحداهما غير موجودة.
kind = الصنف
about = بشأن
kind-sent = أُرسلت
kind-received = وردت
kind-rejected = رُفضت
kind-receipted = ورد الإيصال
kind-expired = انتهت
kind-dead = تُركت
kind-delivered = سُلّمت
kind-erased = حُذف المحتوى
kind-admin = إدارة
kind-summary = مجموع المرفوضات

# الشركاء والأغراض
state-label = الدولة
authority = الجهة
standing = الوضع
partner-active = نشط
partner-suspended = معلّق
partner-removed = مُزال
fingerprint = بصمة البطاقة
card = البطاقة
version-of = الإصدار { $value }
host = البوّابة
endpoints = العناوين
authorities = الجهات
log-keys = مفاتيح السجلّ
witness-key = مفتاح الشاهد
agreement = الاتفاق
agreement-with = الاتفاق مع { $value }
agreement-text = نصّ الاتفاق نفسه
versions = الإصدارات
statuses = لأجل
purposes-label = الأغراض
handling-codes = رموز التعامل
purposes-what = ما يجوز استعمال بيانات كلّ نوع لأجله، كما اتُّفق عليه مع كلّ شريك. وتُرفض الرسالة ذات الغرض المغاير.
uses = لأيّ غرض الرسائل
uses-what = الرسائل المقبولة بحسب الغرض الذي تذكره، من أحدث { $value } رسالة.
legal-bases = الأسس القانونيّة
legal-bases-types = يجب أن تذكر الأساس القانونيّ رسائل النوع:
legal-bases-what = وهو جزء من محتواها، فيُفتح أحدث ألف منها لعدّه، ولسبب يُذكر، وكلاهما يُقيَّد.
legal-bases-opened = فُتح منها: { $value }.
legal-bases-closed = وبلا محتوى محفوظ: { $value }.
legal-basis = الأساس القانونيّ
count-legal-bases = عدّ الأسس القانونيّة
kept-days = { $count ->
    [zero] لا يُحفظ المحتوى.
    [one] يُحفظ المحتوى يومًا واحدًا على الأكثر ما لم يكن للنوع أقلّ من ذلك.
    [two] يُحفظ المحتوى يومين على الأكثر ما لم يكن للنوع أقلّ من ذلك.
    [few] يُحفظ المحتوى { $number } أيام على الأكثر ما لم يكن للنوع أقلّ من ذلك.
    [many] يُحفظ المحتوى { $number } يومًا على الأكثر ما لم يكن للنوع أقلّ من ذلك.
   *[other] يُحفظ المحتوى { $number } يوم على الأكثر ما لم يكن للنوع أقلّ من ذلك.
}
value-test = اختبار
value-exercise = تمرين
value-actual = استعمال فعلي
value-border-management = إدارة الحدود
value-law-enforcement = إنفاذ القانون
value-customs = الجمارك
value-new = جديد
value-update = تحديث
value-cancel = ملغى
value-car = سيارة
value-stolen = مسروقة
value-stop-and-report = إيقاف وإبلاغ
value-seize = حجز
value-arrest = قبض
value-armed = مسلّح
value-violent = عنيف

# من قرأ ماذا
reads-what = القراءات على المستوى الوطني وفي هذه الصفحات، الأحدث أولًا. ويحفظ سجلّ الدار ملخّصًا لكلّ منها.
act-read-overview = نظرة عامة
act-read-messages = بحث في الرسائل
act-read-message = رسالة
act-read-content = محتوى رسالة
act-read-evidence = دليل بمحتوى الرسائل
act-read-ledger = السجلات
act-read-entries = مدخلات سجلّ
act-read-checkpoint = نقطة تحقّق
act-read-events = بثّ الأحداث
act-read-partners = الشركاء
act-read-purposes = الأغراض
act-read-legal-bases = الأسس القانونيّة للأسئلة
act-read-reads = من قرأ ماذا

# أنواع الرسائل
check-a-message = فحص رسالة
check-what = تُفحص كما تفحصها البوّابة، وفق المخطّط والقواعد. لا يُرسل شيء ولا يُحفظ. حدث، أو بياناته وحدها، أو رسالة موقّعة.
message-text = الرسالة (JSON)
check = فحص
findings = ما وُجد
conforms = مطابقة.
does-not-conform = غير مطابقة.
severity = الشدّة
error = خطأ
warning = تنبيه
line-and-column = السطر والعمود
version = الإصدار
members = عناصر البيانات
member = العنصر
required = مطلوب
meaning = المعنى
rules = القواعد
example = مثال
examples = { $count ->
    [zero] لا أمثلة
    [one] مثال واحد
    [two] مثالان
    [few] { $number } أمثلة
    [many] { $number } مثالًا
   *[other] { $number } مثال
}
counter-examples = { $count ->
    [zero] لا أمثلة مضادّة
    [one] مثال مضادّ واحد
    [two] مثالان مضادّان
    [few] { $number } أمثلة مضادّة
    [many] { $number } مثالًا مضادًّا
   *[other] { $number } مثال مضادّ
}

# مشكلات
problem-session-missing = ليس لهذا المتصفّح جلسة هنا. اطلب رابطًا بالأمر “silkgate open”.
problem-link-used = فُتح هذا الرابط من قبل أو انتهت صلاحيته. اطلب رابطًا جديدًا بالأمر “silkgate open”.
problem-role-forbidden = لا يتيح دورك الاطّلاع على هذه الصفحة.
problem-reason-missing = يُرجى ذكر سبب من 3 إلى 200 حرف. لم يُفتح شيء.
problem-not-found = لا شيء في هذا العنوان.
problem-query-invalid = يطلب العنوان ما لا تقبله هذه الصفحة.
problem-reads-exceeded = صفحات في الدقيقة أكثر ممّا يُتاح لشهادة واحدة. يُرجى الانتظار دقيقة.
problem-unavailable = لا تستطيع البوّابة الإجابة حاليًا.
problem-overloaded = بلغت البوّابة أقصى طاقتها. يُرجى المحاولة مجددًا.
problem-request-foreign = صدر الطلب من موقع آخر.

# معاني رموز الرفض؛ بالإنكليزية هي عناوين البرنامج نفسه
code-request-malformed = الطلب يخالف قاعدة من قواعد HTTP
code-head-too-large = رأس الطلب أكبر من الحدّ
code-peer-unknown = الشهادة لا تعود إلى شريك حالي
code-key-exchange-weak = تبادل مفاتيح الاتصال أضعف من المتّفق عليه
code-partner-suspended = الشريك معلّق
code-not-found = لا شيء في هذا العنوان
code-method-not-allowed = المورد لا يجيب على هذا الأسلوب
code-role-forbidden = دور الشهادة لا يتيح هذا
code-rate-exceeded = رسائل في الثانية أكثر من المتّفق عليه
code-questions-exceeded = أسئلة في الثانية أكثر ممّا تجيب عليه هذه البوّابة لشريك واحد
code-overloaded = بلغت البوّابة أقصى طاقتها
code-unavailable = البوّابة لا تستلم جديدًا حاليًا
code-body-too-large = المتن أكبر من الحدّ
code-body-timeout = لم يصل المتن في الوقت المحدّد
code-body-incomplete = انتهى المتن قبل أوانه
code-content-type-unsupported = نوع المحتوى ليس نوع هذا المورد
code-json-invalid = ليس JSON صحيحًا
code-json-duplicate-member = عنصر ورد مرّتين في كائن واحد
code-json-too-deep = تداخل أعمق من المسموح
code-json-number-range = رقم خارج النطاق
code-json-too-large = نصّ أو قائمة أو الكلّ يتضمّن أكثر من المسموح
code-jws-malformed = ليست رسالة موقّعة بالشكل المطلوب
code-header-invalid = الترويسة المحميّة تخالف قاعدة
code-algorithm-refused = خوارزمية التوقيع غير مقبولة
code-certificate-unknown = شهادة التوقيع غير مسجّلة لهذا الشريك
code-algorithm-mismatch = الخوارزمية ليست خوارزمية الشهادة المسجّلة
code-signature-invalid = التوقيع غير صحيح
code-event-invalid = غلاف الحدث يخالف قاعدة
code-id-conflict = المعرّف استُعمل من قبل لمحتوى آخر
code-certificate-not-yet-valid = لم تكن الشهادة سارية بعد عند التوقيع
code-certificate-expired = كانت الشهادة منتهية عند التوقيع
code-certificate-revoked = شهادة التوقيع ملغاة
code-iat-in-future = تاريخ الرسالة يسبق ساعة هذه البوّابة
code-expired = انتهت صلاحية الرسالة
code-lifetime-too-long = عمر الرسالة أطول من المتّفق عليه
code-id-time-mismatch = المعرّف ليس من وقت التوقيع
code-time-in-future = وقت الحدث بعد وقت توقيعه
code-source-foreign = المصدر ليس جهة من جهات هذا الشريك
code-recipient-foreign = المستلم من دولة أخرى
code-recipient-unknown = لا نظام وطنيًا هنا يمثّل هذا المستلم
code-schema-unknown = الفهرس لا يتضمّن هذا النوع والإصدار
code-agreement-type = الاتفاق لا يتضمّن هذا النوع في هذا الاتجاه
code-agreement-version = الاتفاق لا يتضمّن هذا الإصدار من النوع
code-agreement-status = الاتفاق لا يتضمّن هذه الحالة للنوع
code-agreement-purpose = الاتفاق لا يتضمّن هذا الغرض للنوع
code-agreement-authority = الاتفاق لا يتيح لهذه الجهة المشاركة
code-agreement-handling = الاتفاق لا يتضمّن رمز التعامل هذا
code-releasability = لا يجوز إطلاع دولة المستلم على الرسالة
code-agreement-size = الرسالة أكبر ممّا يتيحه الاتفاق لنوعها
code-agreement-hours = رسائل هذا النوع تنتظر ساعاتها
code-agreement-rate = رسائل من هذا النوع في الثانية أكثر من المتّفق عليه
code-schema-invalid = البيانات تخالف المخطّط
code-rules-violated = البيانات تخالف قاعدة
code-predecessor-missing = الإصدار الذي تحلّ هذه الرسالة محلّه لم يصل بعد
code-record-exists = القيد موجود من قبل
code-record-cancelled = أُلغي القيد ولا شيء يتبع الإلغاء
code-record-originator = القيد يعود إلى جهة أخرى
code-record-type = القيد من نوع آخر
code-record-status = للإصدارات السابقة من القيد حالة أخرى
code-version-not-greater = الإصدار ليس أكبر من آخر إصدار مقبول
code-supersedes-mismatch = الإصدار المقبول أخيرًا غير الإصدار المسمّى
code-record-order = الإصدار لا يُكمل آخر إصدار مقبول
code-retention-longer = لا يُبقي التحديث القيد مدّة أطول إلا مع مراجعة لاحقة
code-reference-missing = رسالة تسمّيها هذه لم تصل بعد
code-reference-unknown = رسالة تسمّيها هذه لم يجرِ تبادلها قطّ
code-reference-mismatch = رسالة تسمّيها هذه ليست كما يجب
code-reference-ended = القيد الذي تتعلّق به هذه الرسالة انتهى
code-question-answered = للسؤال جوابه النهائي من قبل
code-source-not-yours = الشهادة تعود إلى جهة أخرى
code-partner-unknown = دولة المستلم ليست شريكًا لهذه البوّابة
code-lease-lost = انقضت مهلة التسليم
code-degraded = التبادل متوقّف حتى يُشهد على السجلّات ثانية
code-reason-missing = يُعرض المحتوى لسبب من 3 إلى 200 حرف
code-query-invalid = معامل في الطلب لا يقبله هذا المورد
code-reads-exceeded = قراءات في الدقيقة أكثر ممّا يُتاح لشهادة واحدة
code-session-missing = ليس لهذا المتصفّح جلسة هنا
code-link-used = فُتح الرابط من قبل أو انتهت صلاحيته
code-request-foreign = صدر الطلب من موقع آخر
code-witness-request-invalid = ليس طلبًا إلى شاهد
code-checkpoint-unsigned = نقطة التحقّق لا تحمل توقيع مفتاح ذلك السجلّ
code-log-inconsistent = نقطة التحقّق لا تُكمل آخر نقطة وُقّع عليها بالمشاركة
code-predecessor-refused = رُفض إصدار سابق أو انتهت صلاحيته

# عناصر البيانات؛ بالإنكليزية تُكتب أسماؤها كلمات
member-subject = القيد المعنيّ
member-status = الحالة
member-purpose = الغرض
member-handling = قيود التعامل
member-releasableto = يجوز إطلاعها
member-time = وقت الإفادة
member-expirytime = صالحة حتى
member-action = الإجراء
member-actionToTake = الإجراء المطلوب
member-actionTaken = الإجراء المتّخذ
member-alert = البلاغ
member-amount = المبلغ
member-answers = الأجوبة
member-area = المنطقة
member-arrival = الوصول
member-assistance = المساعدة المطلوبة
member-authority = الجهة
member-birthCalendar = تاريخ الميلاد كما في الوثيقة
member-birthDate = تاريخ الميلاد
member-birthPlace = مكان الميلاد
member-calendar = التقويم
member-carrier = الناقل
member-caseReference = رقم القضيّة
member-category = الفئة
member-cause = السبب
member-caution = تحذير
member-certainty = درجة اليقين
member-circumstance = الظرف
member-code = الرمز
member-colour = اللون
member-consignee = المرسل إليه
member-consignor = المرسِل
member-container = الحاوية
member-containers = الحاويات
member-count = العدد
member-country = البلد
member-crossing = المعبر
member-crossingStatus = حالة المعبر
member-currency = العملة
member-date = التاريخ
member-deadline = الموعد الأخير
member-decision = القرار
member-decisionReference = رقم القرار
member-deleteBy = يُحذف في
member-departedAt = غادر في
member-departure = المغادرة
member-description = الوصف
member-digest = الملخّص
member-direction = الاتجاه
member-display = كما تُكتب
member-docType = نوع الوثيقة
member-document = الوثيقة
member-documents = الوثائق
member-dutyContact = جهة الاتصال المناوبة
member-edition = الطبعة
member-effect = الأثر
member-eta = وقت الوصول المتوقّع
member-evaluation = التقييم
member-event = الحدث
member-eventCode = رمز الحدث
member-eventDate = تاريخ الحدث
member-expires = ينتهي في
member-expiry = تاريخ الانتهاء
member-fatherName = اسم الأب
member-firstCrossing = أول معبر
member-formOfLoss = كيفية الفقدان
member-from = من
member-givenNames = الأسماء
member-grandfatherName = اسم الجدّ
member-grossMassKg = الكتلة الإجمالية (كغم)
member-ground = السند
member-guarantee = الضمان
member-headline = العنوان
member-holder = صاحبها
member-hs = رمز النظام المنسّق
member-identification = التعريف
member-identifier = المعرّف
member-identityConfirmed = الهوية مؤكّدة
member-information = المعلومة
member-instruction = التعليمات
member-issuingState = دولة الإصدار
member-items = البنود
member-kind = الصنف
member-lane = المسلك
member-lanes = المسالك
member-legalBasis = السند القانوني
member-links = القيود المرتبطة
member-loading = التحميل
member-lossDate = تاريخ الفقدان
member-make = الصانع
member-matchKey = مفتاح المطابقة
member-matchType = نوع المطابقة
member-matchedAt = وقت المطابقة
member-matchedOn = طوبق على
member-messageId = معرّف الرسالة
member-model = الطراز
member-mode = الوسيلة
member-mrz = السطور المقروءة آليًا
member-name = الاسم
member-names = الأسماء
member-nationalities = الجنسيات
member-nationality = الجنسية
member-nature = الطبيعة
member-number = الرقم
member-observedAt = رُصد في
member-offence = الجرم
member-office = المكتب
member-officer = الموظف
member-onset = البداية
member-outcome = النتيجة
member-packages = الطرود
member-plate = اللوحة
member-question = السؤال
member-questions = الأسئلة
member-reason = السبب
member-recordId = رقم القيد
member-recordVersion = إصدار القيد
member-reference = المرجع
member-registrationCountry = بلد التسجيل
member-remarks = ملاحظات
member-retention = مدّة الحفظ
member-reviewBy = يُراجع في
member-role = الدور
member-route = المسار
member-scheme = النظام
member-script = الكتابة
member-seals = الأختام
member-severity = الشدّة
member-sex = الجنس
member-source = المصدر
member-subjectCategory = صفة الشخص
member-supersedes = يحلّ محلّ
member-surname = اللقب
member-target = الهدف
member-telephone = الهاتف
member-to = إلى
member-totals = المجاميع
member-transport = النقل
member-transportDocument = وثيقة النقل
member-travellers = المسافرون
member-type = النوع
member-unloading = التفريغ
member-urgency = الاستعجال
member-validUntil = صالح حتى
member-value = القيمة
member-vehicle = المركبة
member-vin = رقم الهيكل
member-vinAsFound = رقم الهيكل كما وُجد
