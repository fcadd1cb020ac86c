"""What columns are called: the names under which files of this world hold what our tables hold, in order of preference.

Of several columns that could be one of ours the earlier name wins. English, Chinese; Segment, GA4, Snowplow; common public
data sets. Not here: what columns hold (`kinds`), or which table a file is (`tables`).
"""

import re
from functools import cache

# What a column is -> names, in lower case without blanks, underscores, dots and hyphens.
NAMES: dict[str, str] = {
    "event_id": "eventid messageid hitid 事件id 事件编号 日志id",
    "event_type": (
        "eventtype eventname event action behavior behaviortype behaviour activity activitytype actiontype userevent interaction interactiontype"
        " 事件 事件类型 事件名称 行为 行为类型 动作 操作 操作类型 verb verbid verbname actionname eventaction type"
    ),
    "event_time": (
        "eventtime eventtimestamp derivedtstamp dvcecreatedtstamp originaltimestamp timestamp ts eventdate eventat occurredat occurredtime"
        " clienttime actiontime purchasedate purchasetime purchasedat orderdate ordertime orderedat invoicedate transactiondate transactiontime"
        " transactiontimestamp transactiondt tdat visittime visitdate viewtime clicktime playedat listenedat ratedat ratingtime reviewtime"
        " unixreviewtime reviewdate paymenttime paytime 事件时间 行为时间 发生时间 下单时间 订单时间 订单日期 支付时间 付款时间 购买时间 购买日期 交易时间"
        " 交易日期 访问时间 浏览时间 点击时间 评价时间 操作时间 时间 时间戳 日期 time datetime date day dt createdat createtime created collectortstamp"
        " roottstamp accesstime logtime happenedat happened occurredon occurred loggedat loggedms logged recordedat when"
        " 订单创建时间 创建时间 拍下时间 订单付款时间 成交时间"
    ),
    "received_at": "receivedat received collectortstamp servertime serverreceivedtime receivetime 接收时间",
    "sent_at": "sentat dvcesenttstamp clientsendtime",
    "updated_at": "updatedat updatetime updated lastupdated lastupdate modifiedat modified lastmodified modifiedtime asof since validfrom 更新时间 修改时间",
    "registered_at": (
        "registeredat registered registrationdate registrationtime regtime regdate userregtm signupdate signupat signeduptime signuptime joindate"
        " joinedat joined membersince createdat dtcustomer accountcreated customersince 注册时间 注册日期 开户日期 入会时间 加入时间"
    ),
    "contacted_at": "contactedat contactdate contacttime sentat sentdate senttime exposuretime exposedat touchedat 触达时间 发送时间",
    "user_id": (
        "userid user uid usersid customerid custid customer custno clientid client memberid member memberno personid visitorid buyerid subscriberid"
        " householdid householdkey accountid loginid passengerid playerid patientid reviewerid msisdn userno usercode customercode customerno cardid"
        " cardno loyaltyid userpk customeruniqueid 用户id 用户编号 用户 用户标识 会员id 会员编号 会员号 会员 客户id 客户编号 客户号 客户 顾客id 买家id 账号 帐号"
        " 买家会员名 买家会员 买家昵称 买家旺旺 会员名 会员名称 买家"
        " msno fromuser fromuserid sourceuserid followerid userid1 user1 person1 actorid actoruserid actor performerid subjectid"
    ),
    "other_user_id": (
        "otheruserid friendid friend touser touserid targetuserid followeeid followedid followingid followsid trusteeid userid2 user2 person2 relateduserid"
        " 好友id 好友 关注者 被关注id 对方id"
    ),
    "anonymous_id": (
        "anonymousid domainuserid userpseudoid cookie cookieid visitor anonid networkuserid fullvisitorid clientuuid gaclientid gacookieid 匿名id 访客id"
    ),
    "device_id": "deviceid contextdeviceid deviceuuid imei idfa oaid androidid advertisingid userfingerprint udid 设备id 设备号",
    "session_id": "sessionid usersession session domainsessionid gasessionid visitid sessionkey 会话id 会话",
    "order_id": (
        "orderid invoiceno invoice invoiceid orderno ordernumber transactionid trorderid tiorderid basketid receiptid receiptno billno"
        " ecommercetransactionid 订单id 订单号 订单编号 订单"
    ),
    "item_id": (
        "itemid productid skuid sku stockcode goodsid asin isbn movieid filmid bookid songid trackid artistid articleid newsid videoid contentid"
        " propertiesproductid productcode itemcode upc productno listingid courseid gameid appid2 tisku item product film movie book song track 商品id"
        " 商品编号 商品 商品编码 产品id 产品编号 产品 物品id 物品 视频id 文章id 歌曲id 电影id 书籍id objectid object targetid targetitemid entityid resourceid"
        " 宝贝id 商家编码 article articleno articlenumber lineitemsku lineitemname 宝贝标题"
    ),
    "category": (
        "categorycode category productcategory itemcategory categoryname cate categoryid cateid catid genre department productline ticategory maincategory"
        " commoditydesc productgroup 类目 品类 分类 商品类别 类别 商品分类 类目id 品类id 种类"
    ),
    "categories": "categories genres tags topics subjects 标签 类型列表",
    "brand": "brand brandname manufacturer brandid maker 品牌 品牌id 厂商",
    "title": (
        "title itemname productname name description productdescription movietitle booktitle songname trackname artistname 标题 名称 商品名称 商品名 片名 书名 歌名"
        " 宝贝标题 商品标题"
    ),
    "author": "author artist director publisher writer creator singer seller 作者 歌手 导演 出版社 卖家",
    "kind": "kind itemtype producttype contenttype 物品类型",
    "price": "price unitprice itemprice productprice priceperunit tiprice saleprice listprice avgprice lineitemprice 价格 单价 售价 宝贝价格 商品单价",
    "quantity": "quantity qty units pieces itemquantity tiquantity lineitemquantity count numitems 数量 件数 购买数量 宝贝数量 宝贝总数量 商品数量",
    "rating": "rating stars score overall ratingvalue userrating grade bookrating 评分 打分 星级",
    "amount": (
        "amount amt total totalamount totalprice salesvalue revenue ordervalue ordertotal orderamount transactionamount paymentvalue paymentamount spent"
        " trtotal sales linetotal subtotal money value ecommercepurchaserevenue purchaserevenue eventvalueinusd sevalue"
        " 金额 总价 总金额 实付金额 支付金额 订单金额 交易金额 消费金额 买家实际支付金额 买家实付金额 买家应付货款"
    ),
    "duration": "durationseconds playtime listentime watchtime playseconds dwelltime msplayed weight playcount plays 时长 播放时长 停留时长 播放次数",
    "currency": "currency currencycode trcurrency ticurrency 币种 货币",
    "query": "query searchterm searchquery keyword keywords searchword sitesearch 搜索词 关键词 查询词 搜索关键词",
    "url": "url pageurl contextpageurl pagelocation page link requesturl request uri path clickurl 网址 页面 链接",
    "referrer": "referrer referer pagereferrer contextpagereferrer 来源页 来源页面 引荐来源",
    "campaign": "campaign campaignname utmcampaign mktcampaign contextcampaignname campaignid campaignkey trafficsourcename 活动 活动id 营销活动 活动名称",
    "device_type": "devicetype devicecategory contextdevicetype device dvcetype devicemodel platformtype deviceclass 设备类型 设备 终端",
    "channel": "channel saleschannel saleschannelid trafficsource platform source 渠道 来源 平台",
    "ip": "ip ipaddress userip useripaddress contextip clientip remoteaddr 网络地址 ip地址",
    "user_agent": "useragent contextuseragent ua agent browseragent 浏览器",
    "country": "country geocountry countrycode nation countryname 国家",
    "city": "city geocity town suburb cityname 城市",
    "latitude": "latitude lat geolatitude 纬度",
    "longitude": "longitude lng lon long geolongitude 经度",
    "gender": "gender sex 性别",
    "birth_date": "birthdate dateofbirth dob birthday birth 出生日期 生日",
    "birth_year": "birthyear yearbirth yearofbirth yob 出生年份 出生年",
    "age": "age ageband agegroup agerange 年龄 年龄段",
    "occupation": "occupation job profession jobtitle 职业 工作",
    "education": "education educationlevel educationallevel degree 学历 教育程度 文化程度",
    "income_band": "incomeband incomegroup incomelevel income annualincome salary 收入 收入水平 年收入 月收入",
    "email": "email emailaddress mail useremail contexttraitsemail traitsemail 邮箱 电子邮箱 电子邮件",
    "phone": "phone phonenumber mobile telephone mobilephone tel cellphone contexttraitsphone traitsphone 手机 手机号 电话 手机号码 联系电话 联系手机 收货人手机 收货电话 买家手机",
    "relation": "relation relationship relationtype edgetype linktype 关系 关系类型",
    "offer": "offer offerid couponid coupon couponupc creative variant treatmentname promotion arm 优惠 优惠券 优惠券id",
    "is_treated": "istreated treated treatment treatmentgroup isexposed exposure 是否触达 实验组",
    "cost_amount": "cost costamount contactcost zcostcontact 成本",
    "outcome": "outcome response responded converted conversion visit result isconverted 结果 响应 是否响应",
    "marital": "marital maritalstatus 婚姻状况 婚姻",
}  # fmt: skip
# Who a person is, in clear: kept out of attributes, because no feature needs it and every copy of it has to be guarded.
DIRECT_IDENTIFIERS = frozenset(
    [
        "firstname",
        "lastname",
        "givenname",
        "surname",
        "fullname",
        "familyname",
        "middlename",
        "maidenname",
        "socsecid",
        "ssn",
        "socialsecuritynumber",
        "passport",
        "passportno",
        "idcard",
        "idcardno",
        "idnumber",
        "nationalid",
        "creditcard",
        "cardnumber",
        "iban",
        "accountnumber",
        "password",
        "passwd",
        "pwd",
        "address",
        "address1",
        "address2",
        "street",
        "streetaddress",
        "streetnumber",
        "housenumber",
        "姓名",
        "真实姓名",
        "身份证",
        "身份证号",
        "地址",
        "住址",
        "billingname",
        "billingstreet",
        "billingaddress1",
        "billingaddress2",
        "shippingname",
        "shippingstreet",
        "shippingaddress1",
        "shippingaddress2",
        "recipient",
        "recipientname",
        "contactname",
        "详细地址",
        "收货地址",
        "收货人地址",
        "收件地址",
        "联系地址",
        "收货人",
        "收货人姓名",
        "收件人",
        "收件人姓名",
        "买家姓名",
        "联系人",
        "买家支付宝账号",
        "银行卡号",
        "密码",
    ]
)
# Labels that people want to predict, under the names that data sets give them.
LABELS = (
    "churn", "churned", "churnlabel", "ischurn", "exited", "attrition", "y", "label", "target", "response", "converted", "conversion", "subscribed",
    "default", "isfraud", "fraud", "流失", "是否流失", "标签",
)  # fmt: skip
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\s_\-.:/\\()\[\]#（）]+")


def folded(name: str) -> str:
    """Return a name in lower case without what separates its words.

    Examples
    --------
    >>> folded("Customer ID"), folded("user_id"), folded("userId")
    ('customerid', 'userid', 'userid')
    """
    return "".join(part for part in _CAMEL.split(name.strip("\ufeff \"'")) if part).lower()


@cache
def _ranks() -> dict[str, dict[str, int]]:
    """Folded name -> what it may be -> its place in the order of preference."""
    found: dict[str, dict[str, int]] = {}
    for meaning, names in NAMES.items():
        for rank, name in enumerate(names.split()):
            found.setdefault(folded(name), {}).setdefault(meaning, rank)
    return found


def meanings_of(name: str) -> dict[str, int]:
    """Return what a column of this name may be, with its place in the order of preference (0: the best name).

    Of a dotted name (`context.device.id`) the whole counts, else its last two parts, else its last.
    """
    parts = name.split(".")
    for place, tail in enumerate((parts, parts[-2:], parts[-1:])):
        found = _ranks().get(folded(".".join(tail)))
        if found:
            return {meaning: rank + 100 * place for meaning, rank in found.items()}
    return {}


def is_known_name(name: str) -> bool:
    """Say whether a cell reads like the name of a column."""
    word = folded(name)
    return word in _ranks() or word in DIRECT_IDENTIFIERS or word in LABELS or word == "id"
